"""Reads topics back, to compare what is in Kafka with what was acknowledged."""

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition


async def records_of(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Every record of a topic, partition by partition, in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = await _partitions(consumer, topic)
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[ConsumerRecord]] = {one: [] for one in partitions}
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for one, records in (await consumer.getmany(timeout_ms=200)).items():
                found[one] += records
    finally:
        await consumer.stop()
    return [record for one in partitions for record in found[one]]


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    await consumer._client._wait_on_metadata(topic)  # noqa: SLF001 # else only subscribers know it
    return [
        TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))
    ]
