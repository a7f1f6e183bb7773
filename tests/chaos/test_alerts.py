"""Alerts under fire: whatever dies, joins or wakes up when, each transition is published once."""

import asyncio
import random
import signal
from contextlib import AbstractContextManager
from pathlib import Path

from stream.alerts.ledger import Ledger
from tests.breaches import Fleet, make_rules, metrics_everywhere, slot_now
from tests.ingestion import Bench
from tests.processes import Headrace, headrace

HOUR = 7200
"""Slots."""
TURN = 4
"""Slots after which a series is good where it was bad."""


def turns(_: str, host: int, step: int) -> bool:
    """Half of the hosts are bad, and then the others."""
    return bool((step // TURN + host) % 2)


def old_fleet(bench: Bench) -> Fleet:
    """Series of an hour ago: the process was away, and what it finds out is stale."""
    return Fleet(bench, metrics_everywhere(bench)[:1], 12, slot_now() - HOUR, turns)


def alerts(bench: Bench, log: Path) -> AbstractContextManager[Headrace]:
    """An alerts process. How fast a test writes has no say."""
    return headrace("alerts", env=bench.env(HEADRACE_ALERTS_CLOCK_ALLOWANCE="P1D"), log=log)


async def test_kills_and_redelivery_neither_lose_nor_double(bench: Bench, tmp_path: Path) -> None:
    """Kill -9 at any moment, and every fifth record twice; the last process stops within ten seconds."""
    fleet = old_fleet(bench)
    await make_rules(bench, *fleet.rules())
    chance = random.Random(6)  # noqa: S311 # moments of dying, no secret
    begin = 0
    for _ in range(3):
        with alerts(bench, tmp_path / "log") as process:
            await process.ready()
            feeding = asyncio.create_task(fleet.write(range(begin, begin + 100), 0.01))
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            process.kill()
            await feeding
        begin += 100
    with alerts(bench, tmp_path / "log") as process:
        await fleet.arrived(begin)
        assert await process.stop() == 0
    assert all(one.stale for one in await fleet.arrived(begin))


async def test_a_sleeper_that_wakes_up_publishes_nothing(bench: Bench, tmp_path: Path) -> None:
    """It was given up for dead; what it still has in hand is another's by now."""
    fleet = old_fleet(bench)
    await make_rules(bench, *fleet.rules())
    with alerts(bench, tmp_path / "zombie") as zombie:
        await zombie.ready()
        feeding = asyncio.create_task(fleet.write(range(100), 0.01))
        await asyncio.sleep(0.5)
        zombie.send(signal.SIGSTOP)
        with alerts(bench, tmp_path / "heir"):
            await feeding
            await fleet.arrived(100)
            zombie.send(signal.SIGCONT)
            await fleet.write(range(100, 200), 0.01)
            await fleet.arrived(200)
        await fleet.write(range(200, 300), 0.01)
        await fleet.arrived(300)


async def test_one_joins_and_another_leaves_while_alerts_fire(bench: Bench, tmp_path: Path) -> None:
    """Each partition has changed hands; every alert of it is told once, and none too late."""
    fleet = Fleet(bench, metrics_everywhere(bench), 6, slot_now(), turns)
    await make_rules(bench, *fleet.rules())
    stop = asyncio.Event()
    feeding = asyncio.create_task(fleet.follow(0, stop))
    with alerts(bench, tmp_path / "first") as first, alerts(bench, tmp_path / "second") as second:
        await first.ready()
        await second.ready()
        # Both have some, or the second had all of them first.
        await first.logged("evaluating")
        await second.logged("evaluating")
        # A turn each, in half seconds: hosts become good and bad while both are there, and when one has left.
        await asyncio.sleep(TURN * 0.5)
        assert await first.stop() == 0
        await asyncio.sleep(TURN * 0.5)
        stop.set()
        found = await fleet.arrived(await feeding)
    assert not any(one.stale for one in found)


async def test_who_was_robbed_of_a_partition_and_never_told_starts_again(
    bench: Bench, tmp_path: Path
) -> None:
    """It ends with exit code 1, and its successor has lost nothing."""
    fleet = old_fleet(bench)
    await make_rules(bench, *fleet.rules())
    await fleet.write(range(20))
    with alerts(bench, tmp_path / "log") as robbed:
        await fleet.arrived(20)
        # All of them: which one has the metric is of no interest.
        robbers = [
            Ledger(bench.kafka, bench.topics, n) for n in range(len(metrics_everywhere(bench)))
        ]
        for robber in robbers:
            await robber.open()
        await fleet.write(range(20, 40))
        assert await asyncio.to_thread(robbed.process.wait, 60) == 1
        assert "another process evaluates partitions" in robbed.log.read_text()
        for robber in robbers:
            await robber.close()
    await fleet.arrived(20)
    with alerts(bench, tmp_path / "successor"):
        await fleet.arrived(40)


async def test_an_hour_of_absence_is_caught_up_with_and_wakes_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    """What it finds out late is marked so, however much it is; what begins now is not."""
    quiet = HOUR - 700  # the five minutes in which a change is news, and some

    def bad(_: str, host: int, step: int) -> bool:
        if step < quiet:
            return bool((step // 60 + host) % 2)
        return step >= HOUR + TURN and host == 0

    fleet = Fleet(bench, metrics_everywhere(bench)[:1], 12, slot_now() - HOUR, bad)
    await make_rules(bench, *fleet.rules())
    await fleet.write(range(HOUR))
    with headrace("alerts", env=bench.env(), log=tmp_path / "log") as process:
        await process.ready()
        steps = HOUR + 2 * TURN
        await fleet.write(range(HOUR, steps))
        found = await fleet.arrived(steps)
    assert [one.stale for one in found] == [True] * (len(found) - 1) + [False]
