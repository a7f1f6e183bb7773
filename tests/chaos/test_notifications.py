"""A worker that is killed in a storm of alerts loses no notification, and its history is exact."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.alerting import SOON, Incident, apply, publish
from tests.ingestion import Bench
from tests.processes import headrace
from tests.receivers import Hook, hook

INCIDENTS, HOSTS = 200, 20
KILLS = ((0.2, 0.7), (0.5,), (0.5,))
"""When it is killed: what part of each wave's transitions is then recorded."""


@pytest.mark.timeout(240)
async def test_killed_in_a_storm_everybody_is_told(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """Each beginning and each end at least once, in groups as routed; each transition once in the history.

    Some records come twice, and a receiver fails now and then.
    """
    chance = random.Random(6)  # noqa: S311 - which, not a secret
    incidents = [
        Incident(bench.tenant, rule=f"r{n // HOSTS}", labels={"host": f"h{n % HOSTS}"})
        for n in range(INCIDENTS)
    ]
    beginnings = [one.goes(state) for one in incidents for state in ("pending", "firing")]
    worse = [one.goes("firing", "critical") for one in incidents[::2]]
    ends = [one.goes("resolved", one.level or "warning") for one in incidents]
    env = bench.env(HEADRACE_TEMPORAL=temporal, HEADRACE_OUTGOING_ALLOW="127.0.0.0/8")
    async with hook() as told:
        await apply(
            bench.dsn,
            bench.tenant,
            receivers=[{"name": "hook", "webhook": {"url": told.url}}],
            route={"receiver": "hook", **SOON},
        )
        for number, wave in enumerate((beginnings, worse, ends)):
            again = chance.sample(wave, len(wave) // 10)
            for start in range(0, len(wave), 50):
                await publish(bench.kafka, bench.topics.transitions, wave[start : start + 50])
            await publish(bench.kafka, bench.topics.transitions, again)
            recorded = await bench.pool.fetchval("SELECT count(*) FROM alert_history")
            for kill, part in enumerate(KILLS[number]):
                told.status = chance.choice((200, 503))
                with headrace("worker", env=env, log=tmp_path / f"log{number}{kill}") as worker:
                    await reached(bench, recorded + int(part * len(wave)))
                    await asyncio.sleep(chance.uniform(0, 0.5))
                    worker.kill()
            told.status = 200
            with headrace("worker", env=env, log=tmp_path / f"log{number}") as worker:
                await worker.ready()
                await _told(told, ("firing", "firing", "resolved")[number], number)
        async with asyncio.timeout(60):
            with headrace("worker", env=env, log=tmp_path / "last") as worker:
                while await bench.pool.fetchval("SELECT count(*) FROM notifications"):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
                assert worker.process.poll() is None

    history = Counter(
        row[0] for row in await bench.pool.fetch("SELECT transition_id FROM alert_history")
    )
    assert history == Counter(one.id for one in (*beginnings, *worse, *ends))
    states = await bench.pool.fetch("SELECT state, count(*) FROM alerts GROUP BY 1")
    assert [tuple(row) for row in states] == [("resolved", INCIDENTS)]
    for body in told.bodies:
        assert {one["labels"]["alertname"] for one in body["alerts"]} == {
            body["groupLabels"]["alertname"]
        }
    last = {(rule, host): status for rule, host, status in told.alerts}
    assert last == {(one.rule, one.labels["host"]): "resolved" for one in incidents}


async def reached(bench: Bench, transitions: int) -> None:
    """Wait until so many are recorded."""
    async with asyncio.timeout(60):
        while await bench.pool.fetchval("SELECT count(*) FROM alert_history") < transitions:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def _told(told: Hook, status: str, wave: int) -> None:
    """Wait until every incident of a wave was told."""

    def of(hook: Hook) -> set[tuple[str, str]]:
        return {
            (one["labels"]["alertname"], one["labels"]["host"])
            for body in hook.bodies
            for one in body["alerts"]
            if one["status"] == status and (wave != 1 or one["level"] == "critical")
        }

    await told.until(lambda it: len(of(it)) == (INCIDENTS // 2 if wave == 1 else INCIDENTS))
