"""Reads back what Kafka holds of a source's runs: which are over, which are open, and how far each is."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from producers.k6.doubt import SETTLE
from producers.k6.source.marks import Mark, marked
from schemas.runs import RUN_EVENT, RunFinished, RunStarted
from schemas.topics import Topics

_CLOCKS = 60_000
"""Milliseconds by which a producer's clock may have been set back since a run began."""


class Found(NamedTuple):
    """An open run: its latest mark, and the offset of the envelope that carried it (none: only begun)."""

    mark: Mark
    last_offset: int | None


@dataclass
class Known:
    """All runs of a group. `finished` are the marks of those that are over."""

    open: dict[UUID, Found] = field(default_factory=dict)
    finished: list[Mark] = field(default_factory=list)


async def known(
    bootstrap: str, topics: Topics, group: str, hints: Mapping[str, int], key: str
) -> Known:
    """What there is of this group's runs. `key` is the envelopes' key, with `{}` for the run's id.

    `hints` tells for a run from which offset on its latest envelope lies.

    Raises:
        KafkaError: the broker is away or a topic does not exist.
    """
    # Requests of a process that was killed a moment ago may still be served.
    await asyncio.sleep(SETTLE)
    found = Known()
    async with _reading(bootstrap, topics) as consumer:
        began: dict[UUID, int] = {}
        for partition in sorted(consumer.partitions_for_topic(topics.run_events)):
            async for record in _records(consumer, TopicPartition(topics.run_events, partition), 0):
                if (mark := marked(record.headers)) is None or mark.group != group:
                    continue
                event = RUN_EVENT.validate_json(record.value)
                if isinstance(event, RunStarted):
                    began[event.execution_id] = record.timestamp
                    found.open[event.execution_id] = Found(mark, None)
                elif isinstance(event, RunFinished):
                    found.finished.append(mark)
                    found.open.pop(event.execution_id, None)
        for partition in {one.mark.partition for one in found.open.values()}:
            source = TopicPartition(topics.samples, partition)
            runs = {i: one for i, one in found.open.items() if one.mark.partition == partition}
            start = await _start(consumer, source, began, hints, runs)
            keys = {key.format(one).encode(): one for one in runs}
            async for record in _records(consumer, source, start):
                if record.key in keys and (mark := marked(record.headers)) is not None:
                    found.open[keys[record.key]] = Found(mark, record.offset)
    return found


async def _start(
    consumer: AIOKafkaConsumer,
    source: TopicPartition,
    began: Mapping[UUID, int],
    hints: Mapping[str, int],
    runs: Iterable[UUID],
) -> int:
    """The lowest offset that must be looked at for these runs."""
    hinted = [hints[str(run)] for run in runs if str(run) in hints]
    times = [began[run] for run in runs if str(run) not in hints]
    if times:
        since = max(0, min(times) - _CLOCKS)
        at = (await consumer.offsets_for_times({source: since}))[source]
        end: int = (await consumer.end_offsets([source]))[source]
        hinted.append(end if at is None else at.offset)
    return min(hinted)


@asynccontextmanager
async def _reading(bootstrap: str, topics: Topics) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group that knows both topics."""
    consumer = AIOKafkaConsumer(
        topics.samples, topics.run_events, bootstrap_servers=bootstrap, group_id=None
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _records(
    consumer: AIOKafkaConsumer, source: TopicPartition, start: int
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Those from `start`, or from the first that is still there, to the present end."""
    consumer.unsubscribe()
    consumer.assign([source])
    end: int = (await consumer.end_offsets([source]))[source]
    first: int = (await consumer.beginning_offsets([source]))[source]
    consumer.seek(source, max(first, start))
    while (await consumer.position(source)) < end:
        for records in (await consumer.getmany(source, timeout_ms=1000)).values():
            for record in records:
                yield record
