"""Alerts under fire: whatever dies or wakes up when, each transition is published once."""

import asyncio
import random
import signal
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.kafka import close_producer, make_producer
from schemas.batches import Source
from schemas.named_queries import load
from schemas.rules import Rule
from schemas.transitions import Transition
from schemas.watched import Header, WatchedSeries, encode, entry, partition_of
from schemas.watched_rows import SLOT
from stream.core.reduction import reduced
from tests.ingestion import ARRIVES_WITHIN, PARTITIONS, Bench
from tests.processes import Headrace, headrace

SERIES = 12
TURN = 4
"""Slots after which a series is good where it was bad."""
RULE = Rule(
    name="high",
    metric="m",
    function="max",
    window=timedelta(milliseconds=500),
    operator=">",
    warning=5,
)
FIRST = (time.time_ns() // 1000 - 3_600_000_000) // SLOT
"""An hour ago: the process was away, and what it finds out is stale."""

Told = tuple[str, int, str, float]
"""Of a transition: the host, its number in the episode, the state, and when."""


def bad(series: int, step: int) -> bool:
    """Whether a series is bad then."""
    return bool((step // TURN + series) % 2)


def expected(steps: int) -> list[Told]:
    """What so many steps tell, once the last but one is evaluated."""
    found: list[Told] = []
    for series in range(SERIES):
        was = False
        for step in range(steps - 1):
            if bad(series, step) != was:
                was = not was
                at = (FIRST + step) * SLOT / 1e6
                found.append((f"h{series}", 1 if was else 2, "firing" if was else "resolved", at))
    return sorted(found)


def record(bench: Bench, step: int) -> bytes:
    """All series at that time."""
    described = [
        WatchedSeries(one, bench.tenant, "m", f'{{"host":"h{one}"}}') for one in range(SERIES)
    ]
    at = (FIRST + step) * SLOT
    rows = reduced(
        np.arange(SERIES),
        np.full(SERIES, at),
        np.array([9.0 if bad(one, step) else 1.0 for one in range(SERIES)]),
    )
    header = Header(Source("s", 0), 1, step, step + 1, at)
    return encode(header, [entry(one) for one in described], rows)


async def feed(bench: Bench, steps: range) -> None:
    """Write these steps to Kafka, one by one, every fifth twice."""
    producer = make_producer(bench.kafka, client_id="test")
    await producer.start()
    partition = partition_of(bench.tenant, metric="m", partitions=PARTITIONS)
    try:
        for step in steps:
            value = record(bench, step)
            for _ in range(2 if step % 5 == 0 else 1):
                await producer.send_and_wait(bench.topics.watched, value, partition=partition)
            await asyncio.sleep(0.01)
    finally:
        await close_producer(producer, timeout=10)


async def transitions(bench: Bench) -> list[Transition]:
    """Those that are committed."""
    where = TopicPartition(bench.topics.transitions, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bench.kafka,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    found = []
    try:
        consumer.assign([where])
        end = (await consumer.end_offsets([where]))[where]
        while await consumer.position(where) < end:
            records = (await consumer.getmany(where, timeout_ms=200)).get(where, [])
            found += [Transition.model_validate_json(one.value) for one in records]
    finally:
        await consumer.stop()
    return found


async def arrived(bench: Bench, steps: int) -> None:
    """Wait for all that these steps tell, and check it."""
    wanted = expected(steps)
    found: list[Transition] = []
    async with asyncio.timeout(ARRIVES_WITHIN):
        while len(found) < len(wanted):
            await asyncio.sleep(0.2)
            found = await transitions(bench)
    told = sorted((one.labels["host"], one.number, one.state, one.at.timestamp()) for one in found)
    assert told == sorted(wanted)
    assert len({one.id for one in found}) == len(found)
    assert all(one.stale for one in found)


async def make_rule(bench: Bench) -> None:
    """The rule, as the API would make it."""
    query = load("sinks.sql", "rules.sql")["put_rule"]
    await bench.pool.execute(query, bench.tenant, RULE.name, RULE.document)


def alerts(bench: Bench, log: Path) -> AbstractContextManager[Headrace]:
    """An alerts process. The steps are of an hour ago: the clock has no say."""
    return headrace("alerts", env=bench.env(HEADRACE_ALERTS_CLOCK_ALLOWANCE="P1D"), log=log)


async def test_kills_and_redelivery_neither_lose_nor_double(bench: Bench, tmp_path: Path) -> None:
    """Kill -9 at any moment, and every fifth record twice; the last process stops within ten seconds."""
    await make_rule(bench)
    chance = random.Random(6)  # noqa: S311 # moments of dying, no secret
    begin = 0
    for _ in range(3):
        with alerts(bench, tmp_path / "log") as process:
            await process.ready()
            feeding = asyncio.create_task(feed(bench, range(begin, begin + 100)))
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            process.kill()
            await feeding
        begin += 100
    with alerts(bench, tmp_path / "log") as process:
        await arrived(bench, begin)
        assert await process.stop() == 0
    await arrived(bench, begin)


async def test_a_sleeper_that_wakes_up_publishes_nothing(bench: Bench, tmp_path: Path) -> None:
    """It was given up for dead; what it still has in hand is another's by now."""
    await make_rule(bench)
    with alerts(bench, tmp_path / "zombie") as zombie:
        await zombie.ready()
        feeding = asyncio.create_task(feed(bench, range(100)))
        await asyncio.sleep(0.5)
        zombie.send(signal.SIGSTOP)
        with alerts(bench, tmp_path / "heir"):
            await feeding
            await arrived(bench, 100)
            zombie.send(signal.SIGCONT)
            await feed(bench, range(100, 200))
            await arrived(bench, 200)
        await feed(bench, range(200, 300))
        await arrived(bench, 300)
