"""Topics on a real broker: made once, left alone, refused when they would lose samples."""

import pytest

from producers.topics import TopicState, create_topics
from schemas.errors import Permanent, Temporary
from schemas.topics import Topics, TopicSpec


async def test_missing_topics_are_created_and_a_second_call_finds_them(
    kafka: str, topics: Topics
) -> None:
    """The first call creates every topic, usable at once; the second reports them and changes nothing."""
    first = await create_topics(kafka, topics.specs(3), 1)
    second = await create_topics(kafka, topics.specs(2), 1)

    assert first[0] == TopicState(topics.samples, "created", 3)
    assert {topic.state for topic in first} == {"created"}
    assert {(topic.name, topic.state, topic.partitions) for topic in second} == {
        (topics.samples, "existing", 3),
        (topics.run_events, "existing", 1),
        (topics.dead_letters, "existing", 1),
        (topics.watched, "existing", 3),
        (topics.alert_states, "existing", 3),
        (topics.transitions, "existing", 1),
    }


async def test_an_unfit_topic_is_refused_with_every_fault_named(kafka: str, topics: Topics) -> None:
    """Too few partitions, compaction and a small record limit are all told in one message."""
    unfit = {"cleanup.policy": "compact", "max.message.bytes": "65536"}
    await create_topics(kafka, [TopicSpec(topics.samples, 1, unfit)], 1)

    with pytest.raises(Permanent) as refusal:
        await create_topics(kafka, topics.specs(4), 1)

    assert "it has 1 partitions, 4 are wanted" in str(refusal.value)
    assert "cleanup.policy is compact, it must be delete" in str(refusal.value)
    assert "max.message.bytes is 65536, it must be at least 1048576" in str(refusal.value)


async def test_what_the_broker_refuses_is_permanent(kafka: str, topics: Topics) -> None:
    """A replication factor beyond the cluster is told in the broker's own words."""
    with pytest.raises(Permanent, match="replication factor of 9"):
        await create_topics(kafka, topics.specs(1), 9)


async def test_a_broker_that_is_away_is_temporary(unused_tcp_port: int) -> None:
    """Nobody listens: the caller may try again."""
    with pytest.raises(Temporary, match="does not answer"):
        await create_topics(f"127.0.0.1:{unused_tcp_port}", Topics().specs(1), 1)
