"""Checks an Arrow IPC stream before it is decoded, so that a small record can't become a large one.

Reads two facts of each message's header (a FlatBuffer, `Message.fbs` of the Arrow format): how many
rows a batch has, and whether its buffers are compressed. An uncompressed body is no larger than the
record that carries it.
"""

import struct

import pyarrow as pa

from schemas.errors import Invalid
from schemas.samples import MAX_SAMPLES

_DICTIONARY, _RECORD = 2, 3  # MessageHeader
_HEADER_TYPE, _HEADER = 1, 2  # fields of Message
_LENGTH, _COMPRESSION = 0, 3  # fields of RecordBatch
_DATA = 1  # field of DictionaryBatch


def check(value: bytes) -> None:
    """Raise Invalid for a stream of more than MAX_SAMPLES rows, or with compressed buffers.

    Raises what Arrow raises for a stream that it can't read.
    """
    rows = 0
    for message in pa.ipc.MessageReader.open_stream(value):
        header = bytes(message.metadata)
        table = struct.unpack_from("<I", header)[0]
        kind_at, header_at = _field(header, table, _HEADER_TYPE), _field(header, table, _HEADER)
        kind = header[kind_at] if kind_at else 0
        if kind not in {_DICTIONARY, _RECORD}:
            continue
        batch = _follow(header, header_at)
        if kind == _DICTIONARY:
            batch = _follow(header, _field(header, batch, _DATA))
        if _field(header, batch, _COMPRESSION):
            raise Invalid("bad_arrow", "compressed buffers: compress the Kafka record instead")
        if kind == _RECORD:
            length_at = _field(header, batch, _LENGTH)
            rows += struct.unpack_from("<q", header, length_at)[0] if length_at else 0
    if rows > MAX_SAMPLES:
        raise Invalid("too_many_samples", f"{rows} samples; a record may carry {MAX_SAMPLES}")
    if not rows:
        raise Invalid("bad_envelope", "an Arrow envelope carries at least one sample")


def _field(buffer: bytes, table: int, index: int) -> int:
    """Position of a table's field; 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    entry = 4 + 2 * index
    if entry >= struct.unpack_from("<H", buffer, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", buffer, vtable + entry)[0]
    return table + offset if offset else 0


def _follow(buffer: bytes, at: int) -> int:
    """The table that the offset at this position leads to."""
    return at + int(struct.unpack_from("<I", buffer, at)[0])
