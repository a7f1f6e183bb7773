"""The SDK on a real broker: what it says is stored is stored, and what is not it raises."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec
import numpy as np
import pytest

from producers.sdk import Batching, Headrace
from producers.topics import create_topics
from schemas.errors import Invalid, Permanent, Temporary
from schemas.topics import Topics, TopicSpec
from tests.brokers import private_broker
from tests.kafka_log import records_of

TENANT = UUID("0190a1b2-0000-7000-8000-000000000001")


@pytest.fixture
async def topic(kafka: str, topics: Topics) -> str:
    """A samples topic of the test's own."""
    await create_topics(kafka, topics.specs(2), 1)
    return topics.samples


async def samples_of(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    """Every sample of the topic, in order."""
    return [
        sample
        for record in await records_of(bootstrap, topic)
        for sample in msgspec.json.decode(record.value)["metrics"]
    ]


async def test_a_sample_reaches_kafka_as_the_format_says(kafka: str, topic: str) -> None:
    """Key, envelope and sample, byte for byte, once `flush` has returned."""
    async with Headrace(
        kafka, tenant_id=TENANT, source="agent", topic=topic, clock=lambda: 1_800_000_000.5
    ) as metrics:
        await metrics.send("cpu_usage", 75.5, host="server-1", az="b")
        await metrics.send("up", True, {"http.method": "GET"}, host="a")
        await metrics.send("version", "1.2", timestamp=datetime(2026, 1, 15, 10, 30, tzinfo=UTC))
        await metrics.flush()
        [record] = await records_of(kafka, topic)

    assert record.key == b"0190a1b2-0000-7000-8000-000000000001/agent"
    assert record.value == (
        b'{"tenant_id":"0190a1b2-0000-7000-8000-000000000001","source":"agent","metrics":['
        b'{"name":"cpu_usage","value":75.5,"labels":{"az":"b","host":"server-1"},"timestamp":1800000000500},'
        b'{"name":"up","value":true,"labels":{"host":"a","http.method":"GET"},"timestamp":1800000000500},'
        b'{"name":"version","value":"1.2","labels":{},"timestamp":1768473000000}]}'
    )


async def test_samples_are_batched_and_stay_in_order(kafka: str, topic: str) -> None:
    """A thousand samples of one source are ten records; closing sends the rest."""
    async with Headrace(kafka, tenant_id=TENANT, source="agent", topic=topic) as metrics:
        for number in range(1001):
            await metrics.send("n", number)

    assert [sample["value"] for sample in await samples_of(kafka, topic)] == list(range(1001))
    assert len(await records_of(kafka, topic)) == 11


async def test_a_lone_sample_leaves_after_the_linger(kafka: str, topic: str) -> None:
    """Nobody has to flush."""
    async with Headrace(
        kafka, tenant_id=TENANT, source="agent", topic=topic, batching=Batching(linger=0.01)
    ) as metrics:
        await metrics.send("n", 1)
        while not await samples_of(kafka, topic):
            pass  # the topic offers no event; the test's time limit ends this


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (("", 1), "bad_name"),
        (("a", float("nan")), "not_finite"),
        (("a", None), "bad_value"),
        (("a", "x" * 1025), "text_too_long"),
        (("a", 1, {"a-b": "x"}), "bad_labels"),
        (("a", 1, {"a": []}), "bad_labels"),
        (("a", 1, {"a": 1}), "bad_labels"),
        (("a", 1, ["a"]), "bad_labels"),
        (("a", 1, {f"k{n}": "" for n in range(65)}), "bad_labels"),
    ],
)
async def test_a_bad_sample_is_refused_at_once_and_costs_nothing_else(
    kafka: str, topic: str, sample: tuple[Any, ...], reason: str
) -> None:
    """`send` says which rule it breaks; the samples around it are stored."""
    async with Headrace(kafka, tenant_id=TENANT, source="agent", topic=topic) as metrics:
        await metrics.send("n", 1)
        with pytest.raises(Invalid) as refusal:
            await metrics.send(*sample)
        with pytest.raises(Invalid, match="time zone"):
            await metrics.send("n", 1, timestamp=datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose
        await metrics.send("n", 2)

    assert refusal.value.reason == reason
    assert [sample["value"] for sample in await samples_of(kafka, topic)] == [1, 2]


async def test_samples_that_kafka_refuses_are_raised_and_later_ones_are_stored(
    kafka: str, topics: Topics
) -> None:
    """The loss is told once, with its size; the client recovers by itself."""
    spec = TopicSpec(topics.samples, 1, {"max.message.bytes": "2000"})
    await create_topics(kafka, [spec], 1)
    async with Headrace(kafka, tenant_id=TENANT, source="a", topic=topics.samples) as metrics:
        await metrics.send("small", 1)
        await metrics.flush()
        for number in range(5):  # text that compression can't make smaller than the topic's limit
            await metrics.send("large", hashlib.shake_256(bytes([number])).hexdigest(512))
        with pytest.raises(Permanent, match="5 samples were not stored"):
            await metrics.flush()
        await metrics.send("small", 2)
        await metrics.flush()

    assert [one["value"] for one in await samples_of(kafka, topics.samples)] == [1, 2]


async def test_without_a_broker_the_client_does_not_open(unused_tcp_port: int) -> None:
    """The error comes at the start, in time, and says what is missing."""
    client = Headrace(
        f"127.0.0.1:{unused_tcp_port}",
        tenant_id=TENANT,
        source="a",
        batching=Batching(connect=0.2),
    )
    with pytest.raises(Temporary, match=r"does not answer|connecting"):
        async with client:
            pass


async def test_without_its_topic_the_client_does_not_open(kafka: str, topics: Topics) -> None:
    """The error says who makes topics."""
    client = Headrace(
        kafka,
        tenant_id=TENANT,
        source="a",
        topic=topics.samples,
        batching=Batching(connect=0.5),
    )
    with pytest.raises(Temporary, match="headrace migrate"):
        async with client:
            pass


class Name(str):
    """A text with a type of its own, as enumerations and lazy translations are."""

    __slots__ = ()


async def test_numbers_and_texts_of_other_types_are_taken(kafka: str, topic: str) -> None:
    """NumPy's scalars, fractions and subclasses of str become what JSON knows."""
    values = [np.float64(1.5), np.float32(0.5), np.int64(7), Fraction(1, 4), Name("x"), 2**64]
    async with Headrace(kafka, tenant_id=TENANT, source="agent", topic=topic) as metrics:
        for value in values:
            await metrics.send(Name("n"), cast("float", value), host=Name("h"))
        with pytest.raises(Invalid, match="finite"):
            await metrics.send("n", cast("float", np.float32("nan")))

    stored = await samples_of(kafka, topic)
    assert [sample["value"] for sample in stored] == [1.5, 0.5, 7, 0.25, "x", 2**64]
    assert all(sample["labels"] == {"host": "h"} for sample in stored)


async def test_an_outage_makes_senders_wait_and_loses_nothing(tmp_path: Path) -> None:
    """With the buffer full `send` waits; when the broker is back every sample is there once."""
    async with private_broker(tmp_path) as broker:
        await create_topics(broker.bootstrap, [TopicSpec("t", 2)], 1)
        batching = Batching(buffer=20_000)
        async with Headrace(
            broker.bootstrap, tenant_id=TENANT, source="a", topic="t", batching=batching
        ) as metrics:
            sent = 0

            async def send_all() -> None:
                nonlocal sent
                for number in range(5000):
                    await metrics.send("n", number)
                    sent = number + 1

            broker.freeze()
            sending = asyncio.create_task(send_all())
            await asyncio.wait([sending], timeout=1)
            held = sent
            broker.kill()
            await broker.start()
            await sending
            await metrics.flush()
        values = [sample["value"] for sample in await samples_of(broker.bootstrap, "t")]

    assert 0 < held < 5000
    assert values == list(range(5000))


async def test_closing_without_a_broker_tells_what_is_not_acknowledged(tmp_path: Path) -> None:
    """The process may go, but it knows."""
    async with private_broker(tmp_path) as broker:
        await create_topics(broker.bootstrap, [TopicSpec("t", 1)], 1)
        metrics = Headrace(
            broker.bootstrap, tenant_id=TENANT, source="a", topic="t", batching=Batching(close=0.5)
        )
        async with asyncio.timeout(20):
            await metrics.__aenter__()
            broker.freeze()
            await metrics.send("n", 1)
            await metrics.send("n", 2)
            with pytest.raises(Temporary, match="did not acknowledge 2 samples"):
                await metrics.close()
        await metrics.close()


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    """A closed client leaves nothing running."""
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if "producers" in repr(task)]
    assert not left
