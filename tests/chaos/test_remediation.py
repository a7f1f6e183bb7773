"""Workers of remediation that are killed: nothing is done twice, nothing is lost, and caps hold."""

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.storm import storm
from tests.ingestion import Bench
from tests.remedies import FAST, Ward, fired, playbook, service, ward

pytestmark = pytest.mark.timeout(180)

STEPS = (
    "RemediationStore.open",
    "RemediationTrail.load",
    "RemediationTrail.begin",
    "Actions.perform",
    "RemediationTrail.end",
    "RemediationStore.go_on",
    "RemediationStore.end",
)
"""What a worker does for a remediation, each the last thing that one of them does."""
_IN_DOUBT = {"RemediationTrail.begin", "Actions.perform"}
"""After these nobody knows whether the step was done."""


async def test_killed_at_any_boundary_a_step_is_done_once_at_most(
    database: str, temporal: str
) -> None:
    """An attempt in doubt is not made again, unless the playbook says so; all else goes on as if nothing were."""
    async with ward(database, temporal) as acme, service() as shop:
        for name, retries in (("once", 0), ("twice", 1)):
            do = {"action": "http", "url": f"{shop.url}/{name}", "retries": retries}
            await acme.apply(playbook({"name": name, "steps": [{"id": "flip", "do": do}]}))
        alerts = {}
        wards = {}
        for key in (*((step, "once") for step in STEPS), ("Actions.perform", "twice")):
            rule = "-".join(key)
            wards[key] = Ward(database, acme.pool, acme.client, acme.tenant, f"{acme.queue}-{rule}")
            remediation = FAST.model_copy(update={"playbook": key[1]})
            alerts[key] = fired(acme.tenant, rule=rule, remediation=remediation)
            await wards[key].starter.handle(alerts[key])
        await asyncio.gather(*(_dies(one, temporal, step) for (step, _), one in wards.items()))

        async with _Workers(list(wards.values())):
            for alert in alerts.values():
                await acme.finished(alert, within=60)
        rows = {row["rule"]: row for row in await acme.rows()}

        assert len(rows) == len(alerts)
        asked = Counter(headers["Idempotency-Key"] for _, _, headers, _ in shop.asked)
        for (step, name), alert in alerts.items():
            row = rows[alert.rule]
            times = asked[f"{row['remediation_id']}/flip"]
            expected = {
                ("RemediationTrail.begin", "once"): 0,
                ("Actions.perform", "twice"): 2,
            }.get((step, name), 1)
            assert times == expected, (step, name)
            doubt = step in _IN_DOUBT and name == "once"
            words = "its worker died" if doubt else "has not resolved"
            assert (row["state"], words in row["reason"]) == ("escalated", True), (step, name)


async def test_in_a_storm_over_dying_processes_each_incident_is_remedied_once(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """From samples on: each change is told once, is one row; caps are exact, and the cooldown holds.

    No request is made twice; what is in doubt is told, not repeated.
    """
    left = await storm(bench, temporal, tmp_path, incidents=60, kills=5)
    assert (left.transitions, left.wrong, left.late) == (4 * left.incidents, 0, 0)
    assert (left.rows, left.again, left.unmatched) == (left.incidents, left.incidents, 0)
    assert (left.begun, left.begun_again, left.cooled) == (left.caps, 0, left.caps)
    assert (left.doubled, left.open) == (0, 0)
    # Killed between writing an attempt down and asking: not asked. Killed after it: asked.
    assert left.begun - left.doubtful <= left.asked <= left.begun
    assert left.ended == {}


class _Workers:
    """A worker for each queue, each over a client of its own."""

    def __init__(self, wards: list[Ward]) -> None:
        self._workers = [one.worker() for one in wards]

    async def __aenter__(self) -> None:
        for worker in self._workers:
            await worker.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(worker.shutdown() for worker in self._workers))


async def _dies(ward: Ward, temporal: str, step: str) -> None:
    """Run a worker that dies at `step`, and see it dead."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.chaos.dying_remedier"),
        *(ward.dsn, temporal, ward.queue, str(ward.tenant), step),
    )
    assert await asyncio.wait_for(process.wait(), 120) == -signal.SIGKILL
