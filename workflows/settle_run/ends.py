"""Where a topic ends, asked of the broker by a client that lives for the question."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import Temporary
from workflows.settle_run.types import Position


async def topic_ends(bootstrap: str, topic: str) -> list[Position]:
    """The last record of each partition that ever held one. Raises Temporary while Kafka is away."""
    # Subscribed from the start, because only that fetches the topic's metadata.
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, client_id="headrace-worker", group_id=None
    )
    try:
        await consumer.start()
        partitions = consumer.partitions_for_topic(topic) or set()
        ends = await consumer.end_offsets([TopicPartition(topic, p) for p in sorted(partitions)])
    except KafkaError as error:
        raise Temporary(f"Kafka does not tell where {topic} ends: {error!r}") from error
    finally:
        await consumer.stop()
    return [Position(topic, at.partition, end - 1) for at, end in ends.items() if end]
