"""Series that breach a rule and get well again: written to the watched topic slot by slot, and what is told of them."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from aiokafka import AIOKafkaProducer

from producers.kafka import close_producer, make_producer
from schemas.batches import Source
from schemas.named_queries import load
from schemas.rules import GRID, Rule
from schemas.transitions import Transition
from schemas.watched import Header, WatchedSeries, encode, entry, partition_of
from schemas.watched_rows import SLOT
from stream.core.reduction import reduced
from tests.ingestion import ARRIVES_WITHIN, PARTITIONS, Bench
from tests.kafka_log import committed


class Told(NamedTuple):
    """Of a transition: the host, its number in the episode, and when (seconds since the epoch)."""

    rule: str
    host: str
    number: int
    state: str
    at: float


def told(found: Iterable[Transition]) -> list[Told]:
    """What transitions say, sorted."""
    return sorted(
        Told(one.rule, one.labels["host"], one.number, one.state, one.at.timestamp())
        for one in found
    )


async def transitions(bench: Bench) -> list[Transition]:
    """Those that are committed."""
    values = await committed(bench.kafka, bench.topics.transitions)
    return [Transition.model_validate_json(value or b"") for value in values]


async def make_rules(bench: Bench, *rules: Rule) -> None:
    """Rules, as the API would make them."""
    query = load("sinks.sql", "rules.sql")["put_rule"]
    for rule in rules:
        await bench.pool.execute(query, bench.tenant, rule.name, rule.document)


def metrics_everywhere(bench: Bench) -> list[str]:
    """Names of metrics, one for each partition of the watched topic."""
    found: dict[int, str] = {}
    for name in (f"m{number}" for number in itertools.count()):
        found.setdefault(partition_of(bench.tenant, metric=name, partitions=PARTITIONS), name)
        if len(found) == PARTITIONS:
            return sorted(found.values())
    raise AssertionError


def slot_now() -> int:
    """The newest slot that is over."""
    return time.time_ns() // 1000 // SLOT


@dataclass(frozen=True)
class Fleet:
    """Hosts with the same metrics; each metric has a rule of its name. Steps are slots from `first` on."""

    bench: Bench
    metrics: Sequence[str]
    hosts: int
    first: int
    bad: Callable[[str, int, int], bool]
    """Whether a metric of a host is bad in a step."""

    def rules(self, **more: object) -> list[Rule]:
        """A rule for each metric, without patience."""
        return [
            Rule.model_validate(
                {
                    "name": metric,
                    "metric": metric,
                    "function": "max",
                    "window": GRID,
                    "operator": ">",
                    "warning": 5.0,
                    **more,
                }
            )
            for metric in self.metrics
        ]

    def expected(self, steps: int) -> list[Told]:
        """What so many steps tell, once the last but one is evaluated."""
        found = []
        for metric in self.metrics:
            for host in range(self.hosts):
                was = False
                for step in range(steps - 1):
                    if self.bad(metric, host, step) != was:
                        was = not was
                        number, state = (1, "firing") if was else (2, "resolved")
                        at = (self.first + step) * SLOT / 1e6
                        found.append(Told(metric, f"h{host}", number, state, at))
        return sorted(found)

    def record(self, metric: str, step: int) -> bytes:
        """A metric of all hosts in a step."""
        place = self.metrics.index(metric)
        at = (self.first + step) * SLOT
        numbers = np.arange(self.hosts) + place * self.hosts
        values = np.array([9.0 if self.bad(metric, n, step) else 1.0 for n in range(self.hosts)])
        described = [
            WatchedSeries(int(number), self.bench.tenant, metric, f'{{"host":"h{host}"}}')
            for host, number in enumerate(numbers)
        ]
        header = Header(Source("s", place), 1, step, step + 1, at)
        rows = reduced(numbers, np.full(self.hosts, at), values)
        return encode(header, [entry(one) for one in described], rows)

    async def write(self, steps: range, pause: float = 0.0) -> None:
        """Write these steps, with a pause (seconds) after each; every fifth twice."""
        async with _Writer(self.bench) as writer:
            for step in steps:
                await self._write(writer.producer, step)
                await asyncio.sleep(pause)
            await writer.producer.flush()

    async def follow(self, begin: int, stop: asyncio.Event) -> int:
        """Write each step when its time has come, until told to stop; the step to go on with."""
        step = begin
        async with _Writer(self.bench) as writer:
            while not stop.is_set():
                while self.first + step <= slot_now():
                    await self._write(writer.producer, step)
                    step += 1
                await writer.producer.flush()
                await asyncio.sleep(0.05)  # the next slot is half a second away
        return step

    async def _write(self, producer: AIOKafkaProducer, step: int) -> None:
        tenant, topic = self.bench.tenant, self.bench.topics.watched
        for metric in self.metrics:
            value = self.record(metric, step)
            partition = partition_of(tenant, metric=metric, partitions=PARTITIONS)
            for _ in range(2 if step % 5 == 0 else 1):
                await producer.send(topic, value, partition=partition)

    async def arrived(self, steps: int) -> list[Transition]:
        """Wait for all that the rules tell of these steps, check that it is told once, and return it."""
        wanted = self.expected(steps)
        found: list[Transition] = []
        async with asyncio.timeout(ARRIVES_WITHIN):
            while len(found) < len(wanted):
                await asyncio.sleep(0.2)
                everything = await transitions(self.bench)
                found = [one for one in everything if one.rule in self.metrics]
        assert told(found) == wanted
        assert len({one.id for one in found}) == len(found)
        return found


class _Writer:
    """A producer inside a block."""

    def __init__(self, bench: Bench) -> None:
        self.producer = make_producer(bench.kafka, client_id="test")

    async def __aenter__(self) -> Self:
        await self.producer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await close_producer(self.producer, timeout=10)
