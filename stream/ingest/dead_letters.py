"""Publishes what can't be stored, keyed by where it came from, with the reason and its own bytes."""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
import pyarrow as pa

from schemas.batches import Reject
from schemas.envelopes import UNREADABLE, decode_loose

MAX_DETAIL = 500
MAX_VALUE = 2 * 1024 * 1024 - 128 * 1024
"""The topic takes records of 2 MiB, headers included; a longer value is cut and marked `truncated`."""
MOST_SINGLE = 100
"""Rejects of one record that each get a letter of their own; more share one, with the whole record."""


class Producer(Protocol):
    """What `producers.steady.SteadyProducer` does."""

    async def send(
        self, topic: str, value: bytes | None, key: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Queue a record; the result is the broker's acknowledgement. Raises Temporary."""
        ...


class Letter(NamedTuple):
    """A dead letter: where it came from (behind the offset), its bytes and its headers."""

    suffix: str
    value: bytes
    headers: dict[str, str]


class DeadLetters:
    """Writes to the dead-letter topic.

    The key is `topic/partition/offset`, with `/item` for one sample of an envelope, so that compaction
    leaves one copy where a crash between the dead letter and the commit made two. The value is the
    smallest thing that failed, byte for byte: the sample, or the whole record where that can't be cut.
    """

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def bury(self, rejects: Sequence[Reject]) -> None:
        """Publish rejects; return when the broker has acknowledged each. Raises Temporary, KafkaError."""
        acknowledged = [
            await self._send(rejected[0], letter)
            for rejected in _by_record(rejects)
            for letter in letters(rejected)
        ]
        await asyncio.gather(*acknowledged)

    async def _send(self, reject: Reject, letter: Letter) -> Awaitable[Any]:
        record = reject.record
        headers = {
            "source-topic": record.topic,
            "source-partition": str(record.partition),
            "source-offset": str(record.offset),
            "source-timestamp-ms": str(record.timestamp),
            **letter.headers,
        }
        if len(letter.value) > MAX_VALUE:
            headers["truncated"] = str(len(letter.value))
        return await self._producer.send(
            self._topic,
            letter.value[:MAX_VALUE],
            f"{record.topic}/{record.partition}/{record.offset}{letter.suffix}".encode(),
            [(k, v.encode(errors="backslashreplace")) for k, v in headers.items()],
        )


def _by_record(rejects: Sequence[Reject]) -> Iterator[list[Reject]]:
    ordered = sorted(rejects, key=lambda r: (r.record.topic, r.record.partition, r.record.offset))
    for _, found in groupby(ordered, key=lambda r: id(r.record)):
        yield list(found)


def letters(rejects: Sequence[Reject]) -> Iterator[Letter]:
    """The dead letters of one record's rejects."""
    value = rejects[0].record.value or b""
    items = [reject.item for reject in rejects if reject.item is not None]
    if len(items) < len(rejects) or len(items) > MOST_SINGLE:
        yield _whole(rejects, value)
        return
    cut = _cut(value, items)
    if cut is None:
        yield _whole(rejects, value)
        return
    parts, origin = cut
    for reject, part in zip(rejects, parts, strict=True):
        yield Letter(f"/{reject.item}", part, {**_reason(reject), "unit": "sample", **origin})


def _whole(rejects: Sequence[Reject], value: bytes) -> Letter:
    headers = {**_reason(rejects[0]), "unit": "record"}
    items = [str(reject.item) for reject in rejects if reject.item is not None]
    if items:
        headers |= {"rejected": str(len(items)), "items": ",".join(items)[:MAX_DETAIL]}
    return Letter("", value, headers)


def _reason(reject: Reject) -> dict[str, str]:
    headers = {"reason": reject.reason, "detail": reject.detail[:MAX_DETAIL]}
    if reject.execution is not None:
        headers["execution_id"] = str(UUID(bytes=reject.execution))
    return headers


def _cut(value: bytes, items: Sequence[int]) -> tuple[list[bytes], dict[str, str]] | None:
    """The bytes of these samples, and what the envelope says of all; None where it can't be cut."""
    try:
        envelope = decode_loose(value)
    except UNREADABLE:
        return _cut_arrow(value, items)
    origin = {"tenant_id": envelope.tenant_id, "source": envelope.source}
    samples = [msgspec.Raw(value)] if envelope.metrics is None else envelope.metrics
    return [bytes(samples[item]) for item in items], origin


def _cut_arrow(value: bytes, items: Sequence[int]) -> tuple[list[bytes], dict[str, str]] | None:
    """Rows as Arrow streams of their own."""
    try:
        table = pa.ipc.open_stream(value).read_all()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None
    metadata = {
        k.decode(errors="backslashreplace"): v.decode(errors="backslashreplace")
        for k, v in (table.schema.metadata or {}).items()
    }
    origin = {key: metadata[key] for key in ("tenant_id", "source") if key in metadata}
    origin["content-type"] = "application/vnd.apache.arrow.stream"
    return [_row(table, item) for item in items], origin


def _row(table: pa.Table, item: int) -> bytes:
    row = table.slice(item, 1)
    # The slice would carry the dictionary of all rows.
    column = row.schema.get_field_index("series")
    plain = row["series"].cast(pa.string()).combine_chunks().dictionary_encode()
    row = row.set_column(column, "series", plain)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_table(row)
    return bytes(sink.getvalue().to_pybytes())
