"""Asks the broker which envelopes of a bridge it already has, when acknowledgements did not arrive or it died.

Every envelope carries in a header which bytes of its source it holds and how many points there are up to its
end, and all envelopes of a bridge share a key and so a partition. Reading that partition from the last
acknowledged offset on tells what is there. That is exact once the old connection is dead and its requests
are through; hence SETTLE.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

from schemas.errors import Permanent

RANGE_HEADER = "headrace-range"
"""`START-END/POINTS`: bytes of the source that the envelope holds, and points up to its end, in decimal."""

SETTLE = 3.0
"""Seconds from the end of a producer to the look: a broker that was hung may still serve, in the moment
it wakes, requests of connections that are gone."""


class Span(NamedTuple):
    """An envelope in the log: the bytes that it holds, points up to its end, and where it lies."""

    start: int
    end: int
    points: int
    partition: int
    offset: int


def in_header(start: int, end: int, points: int) -> bytes:
    """The value of an envelope's header."""
    return b"%d-%d/%d" % (start, end, points)


class Since(NamedTuple):
    """From where to look: after the offsets known, else from a record time in epoch milliseconds."""

    offsets: dict[int, int]
    time_ms: int


async def appended(bootstrap: str, topic: str, key: bytes, since: Since) -> list[Span]:
    """The envelopes of this key that are in the log since then.

    Raises:
        KafkaError: the broker is away or the topic does not exist.
        Permanent: one is of an earlier version, which numbered its envelopes otherwise.
    """
    await asyncio.sleep(SETTLE)
    async with _reading(bootstrap, topic, key) as (consumer, source):
        if source.partition in since.offsets:
            start: int | None = since.offsets[source.partition] + 1
        else:
            at = (await consumer.offsets_for_times({source: since.time_ms}))[source]
            start = None if at is None else at.offset
        return [_span(record) async for record in _records(consumer, source, key, start)]


def _span(record: "ConsumerRecord[bytes, bytes]") -> Span:
    header = dict(record.headers).get(RANGE_HEADER)
    if header is None:
        raise Permanent(
            "A part of this was sent by an earlier version of headrace: finish it with that."
        )
    start, end, points = map(int, header.replace(b"-", b"/").split(b"/"))
    return Span(start, end, points, record.partition, record.offset)


async def published(bootstrap: str, topic: str, key: bytes) -> list[tuple[int, bytes]]:
    """Record time and value of the records with this key, from a topic small enough to be read whole.

    Raises:
        KafkaError: the broker is away or the topic does not exist.
    """
    async with _reading(bootstrap, topic, key) as (consumer, source):
        start = (await consumer.beginning_offsets([source]))[source]
        return [(r.timestamp, r.value) async for r in _records(consumer, source, key, start)]


@asynccontextmanager
async def _reading(
    bootstrap: str, topic: str, key: bytes
) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
    """A consumer without a group, and the partition that a producer chooses for this key."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=None, request_timeout_ms=15_000
    )
    try:
        await consumer.start()
        # Subscribed first, because only that fetches the topic's metadata.
        partitions = list(consumer.partitions_for_topic(topic))
        consumer.unsubscribe()
        source = TopicPartition(topic, DefaultPartitioner()(key, partitions, []))
        consumer.assign([source])
        yield consumer, source
    finally:
        await consumer.stop()


async def _records(
    consumer: AIOKafkaConsumer, source: TopicPartition, key: bytes, start: int | None
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Those of the key from `start` to the present end; none without a start."""
    end: int = (await consumer.end_offsets([source]))[source]
    if start is None:
        return
    consumer.seek(source, start)
    while (await consumer.position(source)) < end:
        for records in (await consumer.getmany(source, timeout_ms=1000)).values():
            for record in records:
                if record.key == key:
                    yield record
