"""The wire format of `metrics.watched.v1`: samples of watched series, reduced to half-second slots.

A record holds what one batch of one source partition has for one partition of the topic: a header, a
dictionary of series and columns of rows. The value is four bytes, little-endian, with the size of what
follows them, decompressed; then that, an LZ4 block: an array in msgpack (see `_Body`) whose columns
are the bytes of little-endian numbers. What follows from something else is not sent: a row's slot from
its first time, all figures of a row of one sample from that sample.

A batch too large for one record comes in several parts. Records of one source come in the order of
their `place`; one whose place is not behind the last one's was read before, and is to be dropped.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast
from uuid import UUID

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.batches import Source
from schemas.envelopes import decode_labels
from schemas.errors import Invalid
from schemas.watched_rows import (
    Column,
    Integers,
    WatchedRows,
    column_of,
    narrow,
    packed,
    read,
    starts_of,
    unpacked,
)

MAX_SIZE = 64 << 20
"""Of a record, decompressed; ingest makes them far smaller."""


class WatchedSeries(NamedTuple):
    """A series as the dictionary has it. `labels` is JSON with sorted keys."""

    series_id: int
    tenant_id: UUID
    name: str
    labels: str

    def label_set(self) -> dict[str, str]:
        """The labels, parsed."""
        return decode_labels(self.labels)


class Place(NamedTuple):
    """Where a record stands among those of its source; larger is later.

    `epoch` grows when the source's topic is made anew, and its offsets begin again.
    """

    epoch: int
    start: int
    part: int


@dataclass(frozen=True)
class Header:
    """What a record covers: offsets [start, end) of a source partition.

    `newest` is the newest event time (microseconds since the epoch) of any sample in these offsets,
    watched or not, and never ahead of the writer's clock. It is None where it says nothing: in all parts
    but the last, and where no sample was stored. Ranges that hold no watched sample are left out, but
    for one twice a second, so that `newest` is heard of.
    """

    source: Source
    epoch: int
    start: int
    end: int
    newest: int | None
    part: int = 0

    @property
    def place(self) -> Place:
        """By which records of one source are in order and told apart."""
        return Place(self.epoch, self.start, self.part)


@dataclass(frozen=True)
class Watched:
    """A record, decoded. `rows.series` are ids of series that `described` describes."""

    header: Header
    ids: NDArray[np.int64]
    """Series in the record, each once."""
    rows: WatchedRows
    dictionary: bytes

    def described(self) -> list[WatchedSeries]:
        """The series of `ids`, in that order. Ask when an id is new: decoding is not free."""
        found = zip(self.ids.tolist(), _decode_entries(self.dictionary), strict=True)
        return [
            WatchedSeries(number, UUID(bytes=tenant), name, labels)
            for number, (tenant, name, labels) in found
        ]


def partition_of(tenant_id: UUID, *, metric: str, partitions: int) -> int:
    """The partition of `metrics.watched.v1` that has a metric's samples, and evaluates its rules.

    By metric, not by rule: a rule is of one metric, so every sample goes to one partition however many
    rules watch it, and a rule moves only when none of its series stays.
    """
    return zlib.crc32(f"{tenant_id}/{metric}".encode()) % partitions


def entry(series: WatchedSeries) -> bytes:
    """A series as the dictionary of a record holds it: encode it once, use it in every record."""
    return _encode((series.tenant_id.bytes, series.name, series.labels))


def encode(header: Header, entries: Sequence[bytes], rows: WatchedRows) -> bytes:
    """A record's value. `entries` are those of the distinct series of `rows`, ascending by id.

    `rows` are ordered by series.
    """
    starts = starts_of(rows.series)
    index = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    return record(header, rows.series[starts], entries, index, packed(rows, (0, len(rows)))[0])


def record(
    header: Header,
    ids: Integers,
    entries: Sequence[bytes],
    index: Integers,
    columns: Sequence[Column],
) -> bytes:
    """A record's value, of columns that are `packed` already. `index` gives each row's place in `ids`."""
    body = _encode(
        _Body(
            *header.source,
            header.epoch,
            header.start,
            header.end,
            header.newest,
            header.part,
            ids.astype("<i8").tobytes(),
            b"\xdd" + len(entries).to_bytes(4, "big") + b"".join(entries),
            column_of(narrow(index)),
            columns,
        )
    )
    return len(body).to_bytes(4, "little") + cast("bytes", _LZ4.compress(body, asbytes=True))


def decode(value: bytes) -> Watched:
    """Read a record's value. Raises Invalid for anything that `encode` did not write."""
    size = int.from_bytes(value[:4], "little")
    if size > MAX_SIZE:
        raise Invalid("bad_watched", f"{size} bytes decompressed; at most {MAX_SIZE} are read")
    try:
        body = _decode_body(_LZ4.decompress(value[4:], decompressed_size=size, asbytes=True))
        ids = np.frombuffer(body.ids, "<i8")
        rows = unpacked(ids[read(body.index)], body.columns)
    except (msgspec.DecodeError, pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise Invalid("bad_watched", f"no record of watched samples: {error}") from error
    header = Header(
        Source(body.topic, body.partition),
        body.epoch,
        body.start,
        body.end,
        body.newest,
        body.part,
    )
    return Watched(header, ids, rows, body.dictionary)


class _Body(msgspec.Struct, array_like=True, gc=False):
    topic: str
    partition: int
    epoch: int
    start: int
    end: int
    newest: int | None
    part: int
    ids: bytes
    """i8: of the series, ascending."""
    dictionary: bytes
    """msgpack: of each series [tenant (16 bytes), name, labels (JSON)]."""
    index: Column
    """Of each row, its series' place in ids."""
    columns: Sequence[Column]
    """See `schemas.watched_rows`."""


_LZ4 = pa.Codec("lz4_raw")  # zstd takes twice as long, to be a fifth smaller
_encode = msgspec.msgpack.Encoder().encode
_decode_body = msgspec.msgpack.Decoder(_Body).decode
_decode_entries = msgspec.msgpack.Decoder(list[tuple[bytes, str, str]]).decode
