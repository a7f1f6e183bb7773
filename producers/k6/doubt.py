"""Asks the broker which envelopes of a bridge it already has, when acknowledgements did not arrive.

Every envelope carries its number in a header, and all envelopes of a bridge share a key and so a
partition. Reading that partition from the last acknowledged offset on tells which numbers are there.
That is exact once the old connection is dead and its requests are through; hence SETTLE.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

SEQUENCE_HEADER = "headrace-sequence"
"""Number of an envelope among those of its key, from 0, in decimal."""

SETTLE = 3.0
"""Seconds from the end of a producer to the look: a broker that was hung may still serve, in the moment
it wakes, requests of connections that are gone."""


class Position(NamedTuple):
    """Where an acknowledged record lies."""

    partition: int
    offset: int


class Since(NamedTuple):
    """From where to look: after the offsets known, else from a record time in epoch milliseconds."""

    offsets: dict[int, int]
    time_ms: int


async def appended(bootstrap: str, topic: str, key: bytes, since: Since) -> dict[int, Position]:
    """Where the envelopes of this key lie, by their numbers.

    Raises:
        KafkaError: the broker is away or the topic does not exist.
    """
    await asyncio.sleep(SETTLE)
    async with _reading(bootstrap, topic, key) as (consumer, source):
        if source.partition in since.offsets:
            start: int | None = since.offsets[source.partition] + 1
        else:
            at = (await consumer.offsets_for_times({source: since.time_ms}))[source]
            start = None if at is None else at.offset
        return {
            int(dict(record.headers)[SEQUENCE_HEADER]): Position(source.partition, record.offset)
            async for record in _records(consumer, source, key, start)
        }


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
