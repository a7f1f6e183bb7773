"""Reads topics back, to compare what is in Kafka with what was acknowledged."""

from typing import Literal

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from producers.topics import partitions_of

_Isolation = Literal["read_committed", "read_uncommitted"]


async def records_of(
    bootstrap: str, topic: str, isolation: _Isolation = "read_uncommitted"
) -> list[ConsumerRecord]:
    """Every record of a topic, partition by partition, in order."""
    partitions = [
        TopicPartition(topic, number) for number in range(await partitions_of(bootstrap, topic))
    ]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level=isolation
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[ConsumerRecord]] = {one: [] for one in partitions}
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for one, records in (await consumer.getmany(timeout_ms=200)).items():
                found[one] += records
    finally:
        await consumer.stop()
    return [record for one in partitions for record in found[one]]


async def committed(bootstrap: str, topic: str) -> list[bytes | None]:
    """The values of all records but those of transactions that were aborted, or are open."""
    return [one.value for one in await records_of(bootstrap, topic, "read_committed")]
