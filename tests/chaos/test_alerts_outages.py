"""Alerts while a server is away: what can't be known is not told, and nothing is lost."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from schemas.rules import Rule
from schemas.topics import Topics
from tests.breaches import Fleet, make_rules, metrics_everywhere, slot_now, transitions
from tests.brokers import private_broker
from tests.ingestion import ARRIVES_WITHIN, Bench, ingestion
from tests.outages import database_away
from tests.processes import headrace

HOSTS = 6
AWAY = 9.0
"""Seconds: longer than the rule of absence waits, and the clock behind it."""
LATER = 3.0
"""Seconds after the broker until samples come again: who sends them has to find it, too."""


@dataclass
class Course:
    """Hosts take turns in being bad, to the step in which all get well."""

    well_from: int = 1 << 30

    def __call__(self, _: str, host: int, step: int) -> bool:
        """Whether a host is bad in a step."""
        return step < self.well_from and bool((step // 4 + host) % 2)


async def test_while_kafka_is_away_nothing_is_absent_and_afterwards_nothing_is_missing(
    database: str, tmp_path: Path
) -> None:
    """The broker dies and comes back, and the samples of that time some seconds after it.

    Who is silent afterwards is absent, though.
    """
    async with (
        private_broker(tmp_path / "broker") as broker,
        ingestion(broker.bootstrap, database, Topics()) as bench,
    ):
        course = Course()
        fleet = Fleet(bench, metrics_everywhere(bench)[:1], HOSTS, slot_now(), course)
        gone = Rule(name="gone", metric=fleet.metrics[0], absent_for=timedelta(seconds=2))
        await make_rules(bench, *fleet.rules(), gone)
        with headrace("alerts", env=bench.env(), log=tmp_path / "log") as process:
            await process.ready()
            steps = await _followed(fleet, 0, 3)
            broker.kill()
            await asyncio.sleep(AWAY)
            await broker.start()
            await asyncio.sleep(LATER)
            course.well_from = slot_now() - fleet.first + 4
            steps = await _followed(fleet, steps, 4)
            await fleet.arrived(steps)
            absent = await _absent(bench)
            assert process.process.poll() is None
    assert {at for _, at in absent} == {(fleet.first + steps - 1 + 4) * 0.5}
    assert [host for host, _ in absent] == [f"h{host}" for host in range(HOSTS)]


async def test_without_a_database_it_goes_on_with_the_rules_that_it_has(
    bench: Bench, postgres: str, tmp_path: Path
) -> None:
    """At its start it waits for it, as it has none; afterwards it catches up with what was changed."""
    fleet = Fleet(bench, metrics_everywhere(bench)[:1], HOSTS, slot_now() - 7200, Course())
    await make_rules(bench, *fleet.rules())
    env = bench.env(HEADRACE_ALERTS_CLOCK_ALLOWANCE="P1D")
    async with AsyncExitStack() as stack:
        with database_away(postgres, bench.dsn):
            process = stack.enter_context(headrace("alerts", env=env, log=tmp_path / "log"))
            await process.logged("can't read the rules yet")
            assert await process.status("readyz") == 503
            await fleet.write(range(20))
        await fleet.arrived(20)
        with database_away(postgres, bench.dsn):
            await fleet.write(range(20, 40))
            await fleet.arrived(40)
        # The one that was made meanwhile is over the same samples.
        low = Rule(name="low", metric=fleet.metrics[0], function="value", operator="<", critical=5)
        await make_rules(bench, low)
        step = 40
        async with asyncio.timeout(ARRIVES_WITHIN):
            while not any(one.rule == "low" for one in await transitions(bench)):
                await fleet.write(range(step, step + 10))
                step += 10
        await fleet.arrived(step)
        assert process.process.poll() is None


async def _followed(fleet: Fleet, begin: int, seconds: float) -> int:
    """Write what is measured for so many seconds."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    return await fleet.follow(begin, stop)


async def _absent(bench: Bench) -> list[tuple[str, float]]:
    """Wait for all hosts to be absent."""
    found: list[tuple[str, float]] = []
    async with asyncio.timeout(ARRIVES_WITHIN):
        while len(found) < HOSTS:
            await asyncio.sleep(0.2)
            found = sorted(
                (one.labels["host"], one.at.timestamp())
                for one in await transitions(bench)
                if one.rule == "gone"
            )
    return found
