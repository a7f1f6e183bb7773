"""Asks Kafka how far the source topic goes and how far its group has come."""

import json
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from producers.k6.source.marks import Positions
from producers.k6.source.merge import Merge
from schemas.errors import Permanent

_DEAF = 5.0
"""Seconds without an answer from the broker, which answers a fetch within half a second."""

_log = logging.getLogger(__name__)


async def ended(
    consumer: AIOKafkaConsumer, sources: Mapping[int, TopicPartition], merge: Merge
) -> list[int]:
    """The partitions of which nothing is at hand and nothing is left to read."""
    return [one for one in merge.short() if await _at_end(consumer, sources[one])]


async def _at_end(consumer: AIOKafkaConsumer, source: TopicPartition) -> bool:
    return heard(consumer, [source]) and (await consumer.position(source)) >= consumer.highwater(
        source
    )


def heard(consumer: AIOKafkaConsumer, sources: Iterable[TopicPartition]) -> bool:
    """Whether the broker has answered for these partitions a moment ago."""
    ours = consumer.assignment()  # empty in the midst of a hand-over
    since = (time.time() - _DEAF) * 1000
    return all(one in ours and (consumer.last_poll_timestamp(one) or 0) > since for one in sources)


async def hints(bootstrap: str, group: str) -> dict[str, int]:
    """Where each open run's latest envelope lies at least, as the commits say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    hints: dict[str, int] = {}
    for one in committed.values():
        for run, offset in json.loads(one.metadata or "{}").items():
            hints[run] = max(offset, hints.get(run, 0))
    return hints


async def check(
    consumer: AIOKafkaConsumer,
    sources: Sequence[TopicPartition],
    taken: Collection[Positions],
) -> None:
    """Refuse a topic that was made anew; say what Kafka deleted before it was read."""
    ends = await consumer.end_offsets(sources)
    firsts = await consumer.beginning_offsets(sources)
    for source in sources:
        behind = max((one.get(source.partition, 0) for one in taken), default=0)
        if behind > ends[source]:
            raise Permanent(
                f"{source.topic}/{source.partition} ends at {ends[source]}, and runs up to {behind} are "
                "known: the topic was made anew. Give another --group to read it from its beginning."
            )
        committed = await consumer.committed(source)
        if committed is not None and committed < firsts[source]:
            _log.error(
                "%d messages of %s/%d were deleted before they were read: retention is too short",
                firsts[source] - committed,
                source.topic,
                source.partition,
            )
