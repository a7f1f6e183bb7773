"""`headrace k6 consume` on a real broker: kill -9 anywhere, replays, bad messages, ends by hand."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from producers.k6.source.config import SourceConfig
from producers.k6.source.consumer import Source
from producers.k6.source.ending import end
from producers.k6.source.sending import Publisher
from producers.k6.source.telemetry import Telemetry
from producers.topics import create_topics
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Permanent
from schemas.runs import RUN_EVENT, RunFinished, RunStarted
from schemas.topics import TopicSpec
from sinks.keys import Tenants
from tests.ingestion import Bench
from tests.k6_kafka import PARTITIONS, as_influx, as_json, produce
from tests.k6_runs import DATA, stored, written
from tests.kafka_log import records_of
from tests.processes import Headrace, headrace

LINES = gzip.decompress((DATA / "k6-1.1.0" / "run.json.gz").read_bytes()).splitlines()
POINTS = [one for line in LINES if (one := json.loads(line))["type"] == "Point"]


def shifted(points: Iterable[dict[str, Any]], minutes: int, **tags: str) -> list[dict[str, Any]]:
    """The same run, so many minutes later in its hour."""
    return [
        {
            **one,
            "data": {
                **one["data"],
                "time": one["data"]["time"].replace("T05:38", f"T05:{minutes:02}"),
                "tags": {**one["data"]["tags"], **tags},
            },
        }
        for one in points
    ]


def truth(points: Iterable[dict[str, Any]]) -> "Counter[tuple[Any, ...]]":
    return written(b"\n".join(json.dumps(one).encode() for one in points))


@pytest.fixture
async def topic(bench: Bench) -> str:
    """An empty topic as the extension's users have it."""
    name = f"{bench.topics.prefix}k6"
    await create_topics(bench.kafka, [TopicSpec(name, PARTITIONS)], 1)
    return name


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process does; it has no event to wait for."""
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 # reason above
            await asyncio.sleep(0.1)


async def events(bench: Bench) -> list[RunStarted | RunFinished]:
    found = await records_of(bench.kafka, bench.topics.run_events)
    read = [RUN_EVENT.validate_json(record.value) for record in found]
    return [one for one in read if isinstance(one, RunStarted | RunFinished)]


async def finished(bench: Bench, runs: int) -> list[RunFinished]:
    """Wait until so many runs have ended."""
    found: list[RunFinished] = []

    async def ended() -> bool:
        found[:] = [one for one in await events(bench) if isinstance(one, RunFinished)]
        return len(found) >= runs

    await until(ended)
    return found


def source_of(bench: Bench, topic: str, **given: Any) -> Source:
    format_ = given.pop("format", "json")
    config = SourceConfig(
        bench.kafka, bench.topics, bench.tenant, topic, format_, "nightly", **given
    )
    return Source(config, Telemetry(CollectorRegistry()))


@asynccontextmanager
async def consuming(bench: Bench, topic: str, **given: Any) -> AsyncIterator[Source]:
    """A consumer in this process."""
    source = source_of(bench, topic, **given)
    running = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        source.stop()
        await running


async def rewind(bench: Bench, topic: str, group: str) -> None:
    """Set the group back to the topic's beginning, as kafka-consumer-groups --reset-offsets does."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bench.kafka, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        sources = [TopicPartition(topic, one) for one in range(PARTITIONS)]
        consumer.assign(sources)
        await consumer.commit(dict.fromkeys(sources, 0))
    finally:
        await consumer.stop()


async def published(bench: Bench, envelopes: int) -> bool:
    return len(await records_of(bench.kafka, bench.topics.samples)) >= envelopes


async def seen_again(process: Headrace, messages: int) -> bool:
    url = f"http://127.0.0.1:{process.port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return f"headrace_k6_source_messages_again_total {messages:.1f}" in await answer.text()


async def test_kill_9_neither_loses_nor_doubles_a_point(
    bench: Bench, topic: str, tmp_path: Path
) -> None:
    """Killed at work, and replayed from the beginning: each point once, two runs, exact counts."""
    first = [one for _ in range(30) for one in POINTS]
    second = shifted(first, 45)
    bad = [b"nonsense", b"{}", as_influx(POINTS[0])]
    await produce(bench.kafka, topic, [*map(as_json, first), *bad, *map(as_json, second)])
    await Tenants(bench.pool).create("k6")
    key = await Tenants(bench.pool).create_key("k6", ["ingest"])
    line = ("k6", "consume", "--topic", topic, "--test", "nightly", "--group", "g", "--tag", "a=b")
    env = bench.env(HEADRACE_API_KEY=key)
    with headrace(*line, env=env, log=tmp_path / "log") as process:
        await until(partial(published, bench, 10))
        process.kill()
    with headrace(*line, env=env, log=tmp_path / "log") as process:
        await finished(bench, 1)
        await end(bench.kafka, topic, None)
        ended = await finished(bench, 2)
        assert await process.stop() == 0
    records = await records_of(bench.kafka, bench.topics.samples)
    assert stored(records) == truth([*first, *second])
    assert all(dict(record.headers)[IMPORT_HEADER] == b"1" for record in records)
    assert [sum(sent.points for sent in one.sent) for one in ended] == [len(first), len(second)]
    for one in ended:
        (sent,) = one.sent
        ours = [r for r in records if str(one.execution_id) in r.key.decode()]
        assert {r.partition for r in ours} == {sent.partition}
        assert max(r.offset for r in ours) == sent.last_offset
        assert one.metrics["http_req_duration"] == "trend"
        assert one.metrics["my_rate"] == "trend"
    started = [one for one in await events(bench) if isinstance(one, RunStarted)]
    assert [(one.test, one.tags) for one in started] == [("nightly", {"a": "b"})] * 2
    assert [one.at.minute for one in started] == [38, 45]
    letters = {r.key: r for r in await records_of(bench.kafka, bench.topics.dead_letters)}
    assert sorted(letter.value for letter in letters.values()) == sorted(bad)
    assert {dict(letter.headers)["reason"] for letter in letters.values()} == {b"bad_json"}
    await rewind(bench, topic, "g")
    with headrace(*line, env=env, log=tmp_path / "log") as process:
        await process.ready()
        await until(partial(seen_again, process, len(first) * 2))
        assert await process.stop() == 0
    assert len(await records_of(bench.kafka, bench.topics.samples)) == len(records)
    assert len(await events(bench)) == 4


async def test_runs_of_a_tag_end_by_the_clock_each_by_itself(bench: Bench, topic: str) -> None:
    """Two at the same time, in the influx format: apart by their tag, ended without another message."""
    a, b = shifted(POINTS, 38, testid="a"), shifted(POINTS, 38, testid="b")
    mixed = [one for pair in zip(a, b, strict=True) for one in pair]
    async with consuming(bench, topic, format="influx", idle=1.0, run_tag="testid", keep_raw=True):
        await produce(bench.kafka, topic, [as_influx(one) for one in mixed])
        ended = await finished(bench, 2)
    assert [one.sent[0].points for one in ended] == [len(POINTS)] * 2
    started = [one for one in await events(bench) if isinstance(one, RunStarted)]
    assert sorted(one.tags["testid"] for one in started) == ["a", "b"]
    assert all(one.keep_raw for one in started)
    for record in await records_of(bench.kafka, bench.topics.samples):
        tag = next(
            one.tags["testid"] for one in started if str(one.execution_id) in record.key.decode()
        )
        assert {point[3].count(f'"testid": "{tag}"') for point in stored([record])} == {1}


async def test_one_reads_and_the_other_takes_over(bench: Bench, topic: str) -> None:
    """Two processes of a group share nothing: the run goes on where the first stopped, each point once."""
    halves = POINTS[:300], POINTS[300:]
    async with consuming(bench, topic) as first:
        await produce(bench.kafka, topic, list(map(as_json, halves[0])))
        await until(partial(published, bench, 1))
        async with consuming(bench, topic):
            await produce(bench.kafka, topic, list(map(as_json, halves[1])))
            first.stop()
            await end(bench.kafka, topic, None)
            (ended,) = await finished(bench, 1)
    assert ended.sent[0].points == len(POINTS)
    assert stored(await records_of(bench.kafka, bench.topics.samples)) == truth(POINTS)


async def test_a_topic_of_something_else_is_refused(bench: Bench, topic: str) -> None:
    """A hundred messages without one point: the format is told, and the topic is not emptied into the DLQ."""
    await produce(bench.kafka, topic, [as_influx(one) for one in POINTS])
    with pytest.raises(Permanent, match="no points in the format json"):
        await source_of(bench, topic).run()
    assert await events(bench) == []
    assert len(await records_of(bench.kafka, bench.topics.dead_letters)) < 100


async def test_a_topic_made_anew_is_refused(bench: Bench, topic: str) -> None:
    """Its offsets mean other messages: skipping those would lose a run."""
    await produce(bench.kafka, topic, list(map(as_json, POINTS)))
    await end(bench.kafka, topic, None)
    async with consuming(bench, topic, group="g"):
        await finished(bench, 1)
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.kafka)
    await admin.start()
    await admin.delete_topics([topic])
    await admin.close()
    await create_topics(bench.kafka, [TopicSpec(topic, PARTITIONS)], 1)
    with pytest.raises(Permanent, match="another --group"):
        await source_of(bench, topic, group="g").run()


STEPS = ("open", "settled", "close")


async def test_a_failure_before_or_after_any_step_changes_nothing(
    bench: Bench, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step fails once before and once after it was done; Kafka holds the same runs as without."""
    monkeypatch.setattr("producers.k6.source.consumer._RETRY", 0.01)
    monkeypatch.setattr("producers.k6.source.log.SETTLE", 0.0)
    failed: list[str] = []

    def failing(step: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
        async def once_each(*given: Any) -> Any:
            for when in ("before", "after"):
                if when == "after":
                    result = await step(*given)
                if f"{when} {name}" not in failed:
                    failed.append(f"{when} {name}")
                    raise KafkaError(f"{when} {name}")
            return result

        return once_each

    for name in STEPS:
        monkeypatch.setattr(Publisher, name, failing(getattr(Publisher, name), name))
    runs = POINTS, shifted(POINTS, 45)
    for run in runs:
        await produce(bench.kafka, topic, list(map(as_json, run)))
    await end(bench.kafka, topic, None)
    async with consuming(bench, topic):
        ended = await finished(bench, 2)
    assert len(failed) == 2 * len(STEPS)
    assert [one.sent[0].points for one in ended] == [len(POINTS)] * 2
    assert len(await events(bench)) == 4
    records = await records_of(bench.kafka, bench.topics.samples)
    assert stored(records) == truth(one for run in runs for one in run)
