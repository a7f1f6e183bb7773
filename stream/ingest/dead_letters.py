"""Publishes what can't be stored, keyed by where it came from, with the reason and its own bytes."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol
from uuid import UUID

import pyarrow as pa

from schemas.batches import Reject
from schemas.envelopes import UNREADABLE, decode_loose

MAX_DETAIL = 500


class Producer(Protocol):
    """What `producers.steady.SteadyProducer` does."""

    async def send(
        self, topic: str, value: bytes | None, key: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Queue a record; the result is the broker's acknowledgement. Raises Temporary."""
        ...


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
        await asyncio.gather(*[await self._send(reject) for reject in rejects])

    async def _send(self, reject: Reject) -> Awaitable[Any]:
        record = reject.record
        position = f"{record.topic}/{record.partition}/{record.offset}"
        value = record.value
        origin: dict[str, str] = {}
        if reject.item is not None:
            position += f"/{reject.item}"
            value, origin = _sample(record.value or b"", reject.item)
        headers = {
            "reason": reject.reason,
            "detail": reject.detail[:MAX_DETAIL],
            "unit": "record" if reject.item is None else "sample",
            "source-topic": record.topic,
            "source-partition": str(record.partition),
            "source-offset": str(record.offset),
            "source-timestamp-ms": str(record.timestamp),
            **origin,
        }
        if reject.execution is not None:
            headers["execution_id"] = str(UUID(bytes=reject.execution))
        return await self._producer.send(
            self._topic,
            value,
            position.encode(),
            [(k, v.encode(errors="backslashreplace")) for k, v in headers.items()],
        )


def _sample(value: bytes, item: int) -> tuple[bytes, dict[str, str]]:
    """The bytes of one sample of a record, and what the envelope says of all of them."""
    try:
        envelope = decode_loose(value)
    except UNREADABLE:
        return _arrow_sample(value, item)
    samples = envelope.metrics
    raw = value if samples is None else bytes(samples[item])
    return raw, {"tenant_id": envelope.tenant_id, "source": envelope.source}


def _arrow_sample(value: bytes, item: int) -> tuple[bytes, dict[str, str]]:
    """One row as an Arrow stream of its own; the whole record where it is no Arrow stream either."""
    try:
        table = pa.ipc.open_stream(value).read_all().slice(item, 1)
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return value, {}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    metadata = table.schema.metadata or {}
    origin = {k.decode(): v.decode() for k, v in metadata.items() if k in (b"tenant_id", b"source")}
    return sink.getvalue().to_pybytes(), {
        "content-type": "application/vnd.apache.arrow.stream",
        **origin,
    }
