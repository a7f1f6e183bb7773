"""Measures alerts: from a breaching sample in Kafka to the transition that says so, at full load."""

import asyncio
import random
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.bench.alerts_ingest import Cost, ingest_costs
from deploy.bench.alerts_load import RULES, SERIES, TICK, Fleet, a_rule_each
from deploy.bench.ingest import Report
from deploy.bench.query_traffic import Timing
from deploy.bench.servers import PARTITIONS, free_port, headrace_process, own_topics
from producers.kafka import close_producer, make_producer
from schemas.errors import Temporary
from schemas.topics import Topics
from schemas.transitions import Transition
from sinks.database import connect_pool
from sinks.keys import Tenants
from sinks.migrate import migrate
from sinks.rules import RuleBook
from sinks.scratch import scratch_database

_WARM_UP = 5.0
_BREACHES_A_SECOND = 20
_BREACH = 2.0
"""Seconds that a series stays bad."""
_DRAIN = 6.0
_STARTS_WITHIN = 60.0


@dataclass(frozen=True)
class Result:
    """What `headrace bench alerts --json` prints.

    `latency_ms` is from the moment in which the first breaching sample is given to Kafka to that in which
    a consumer that reads committed records has the transition to firing. `transitions_seen` counts what
    was expected and came once; more or fewer is a fault. `ingest_…`: the same series, as a backlog that
    ingest drains as fast as it can.
    """

    storage: str
    samples_per_second: int
    watched_series: int
    rules: int
    latency_ms: Timing
    transitions_expected: int
    transitions_seen: int
    alerts_cpu_share: float
    ingest_cpu_share: float
    ingest_without_rules: Cost
    ingest_with_rules: Cost


@dataclass
class _Story:
    """When each series became bad, and what was heard of it."""

    began: dict[int, float] = field(default_factory=dict)
    heard: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    sent: int = 0


async def bench_alerts(
    kafka: str, server: str, seconds: float, rounds: int, report: Report
) -> Result:
    """Run once, with topics and a database of its own, and leave neither behind."""
    topics = Topics(f"bench-{secrets.token_hex(4)}.")
    story = _Story()
    with scratch_database(server) as dsn:
        storage = migrate(dsn).storage
        async with await connect_pool(dsn, role="headrace_owner", application="bench") as owners:
            tenant, _ = await Tenants(owners).create("bench")
            await RuleBook(owners, tenant.tenant_id).apply(
                a_rule_each(), prune=False, dry_run=False
            )
        ports = free_port(), free_port()
        async with (
            own_topics(kafka, topics),
            headrace_process("ingest", kafka, dsn, topics, ports[0]) as ingest,
            headrace_process("alerts", kafka, dsn, topics, ports[1]) as alerts,
        ):
            report("starting ingest and alerts", 0, 1)
            await asyncio.gather(*(_ready(port) for port in ports))
            listening = asyncio.create_task(_listen(kafka, topics, story))
            before = _cpu(alerts), _cpu(ingest)
            started = time.monotonic()
            load = _Load(topics.samples, Fleet(tenant.tenant_id), story)
            producer = make_producer(kafka, client_id="headrace-bench")
            await producer.start()
            try:
                await load.run(producer, seconds, report)
                await producer.flush()
            finally:
                await close_producer(producer, timeout=10)
            took = time.monotonic() - started
            used = _cpu(alerts) - before[0], _cpu(ingest) - before[1]
            listening.cancel()
    latencies = [
        heard[0] - story.began[number]
        for (number, state), heard in story.heard.items()
        if state == "firing"
    ]
    if not latencies:
        raise Temporary("No transition came: read what `headrace alerts` says, at a slower rate.")
    return Result(
        storage,
        round(story.sent / took),
        SERIES,
        RULES,
        Timing.of(latencies),
        2 * len(story.began),
        sum(len(heard) == 1 for heard in story.heard.values()),
        round(used[0] / took, 2),
        round(used[1] / took, 2),
        *await ingest_costs(kafka, server, rounds, report),
    )


class _Load:
    """Sends samples of all series at an even pace."""

    def __init__(self, topic: str, fleet: Fleet, story: _Story) -> None:
        self._topic = topic
        self._fleet = fleet
        self._story = story

    async def run(self, producer: AIOKafkaProducer, seconds: float, report: Report) -> None:
        """Go through it; from the end of the warm-up on, series become bad one after the other."""
        # The same load each time, not a secret.
        order = random.Random(1).sample(range(SERIES), SERIES)  # noqa: S311
        order = order[: int(seconds * _BREACHES_A_SECOND)]
        total = _WARM_UP + seconds + _BREACH + _DRAIN
        due = began = time.monotonic()
        while (at := due - began) < total:
            report("sending", round(at), round(total))
            bad = {
                number
                for position, number in enumerate(order)
                if 0 <= at - _WARM_UP - position / _BREACHES_A_SECOND < _BREACH
            }
            await self._send(producer, bad)
            due += TICK
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send(self, producer: AIOKafkaProducer, bad: set[int]) -> None:
        """A sample of each series, now."""
        for index, record in enumerate(self._fleet.tick(datetime.now(UTC), bad)):
            now = time.time()
            for number in bad.intersection(record.series):
                self._story.began.setdefault(number, now)
            await producer.send(self._topic, record.value, partition=index % PARTITIONS)
            self._story.sent += len(record.series)


async def _listen(kafka: str, topics: Topics, story: _Story) -> None:
    """Note when each transition can be read."""
    consumer = AIOKafkaConsumer(
        topics.transitions,
        bootstrap_servers=kafka,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        async for record in consumer:
            told = Transition.model_validate_json(record.value)
            key = int(told.labels["number"]), told.state
            story.heard.setdefault(key, []).append(time.time())
    finally:
        await consumer.stop()


async def _ready(port: int) -> None:
    async with asyncio.timeout(_STARTS_WITHIN), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def _cpu(process: psutil.Popen) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
