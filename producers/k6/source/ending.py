"""Ends runs by hand: a marker in each partition of the source topic, behind the points that belong to them."""

from uuid import uuid4

import msgspec
from aiokafka.errors import KafkaError

from producers.k6.source.messages import END_HEADER, EndMarker
from producers.kafka import close_producer, make_producer
from schemas.errors import Permanent, Temporary

_CLOSING = 10.0


async def end(bootstrap: str, topic: str, tag: str | None) -> None:
    """Write the marker; the consumer ends all runs that began before it, or the one of this tag's value.

    It lies in the topic, so a replay ends the runs at the same points.

    Raises:
        Temporary: Kafka is away.
        Permanent: there is no such topic.
    """
    marker = msgspec.json.encode(EndMarker(uuid4().hex, tag))
    producer = make_producer(bootstrap, client_id="headrace-k6-end")
    try:
        await producer.start()
        await producer.client.add_topic(topic)
        partitions = producer.client.cluster.partitions_for_topic(topic)
        if not partitions:
            raise Permanent(f"Kafka at {bootstrap} has no topic {topic}.")
        for partition in sorted(partitions):
            await producer.send_and_wait(
                topic, b"", partition=partition, headers=[(END_HEADER, marker)]
            )
    except KafkaError as error:
        raise Temporary(f"Kafka at {bootstrap} gives no answer: {error!r}") from error
    finally:
        await close_producer(producer, timeout=_CLOSING)
