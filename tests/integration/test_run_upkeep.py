"""Runs that nobody finishes, raw points that were kept, and runs that were never aggregated."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest

from schemas.runs import RunAborted
from sinks.backfill import Backfill
from sinks.database import connect_pool
from sinks.run_upkeep import RunUpkeep
from sinks.runs import RunStore
from tests.ingestion import Bench
from tests.stored_runs import POINTS, StoredRun, rows_of, store_run

GRACE = timedelta(minutes=10)


@dataclass(frozen=True)
class Stores:
    """What a worker and the CLI have of runs."""

    bench: Bench
    runs: RunStore
    upkeep: RunUpkeep
    backfill: Backfill

    async def one_of_two(self) -> StoredRun:
        """A run whose second runner said that it started, and nothing since."""
        run = await store_run(self.bench.pool, self.bench.tenant, self.bench.topics.samples)
        started = run.started.model_copy(update={"runners_expected": 2})
        for event in (started, started.model_copy(update={"runner": "there"}), run.finished):
            await self.runs.record(event)
        return run

    async def wait(self, execution: UUID, hours: float, *, points: bool = True) -> None:
        """Let time pass since the last event, and since the last point."""
        tables = ("runs", "run_ledger") if points else ("runs",)
        for table in tables:
            await self.bench.pool.execute(
                f"UPDATE {table} SET heard_at = heard_at - $2::interval WHERE execution_id = $1",  # noqa: S608 - names are ours
                execution,
                timedelta(hours=hours),
            )

    async def incomplete(self, execution: UUID) -> str | None:
        """Why a run is incomplete."""
        return (await self.runs.load(execution)).incomplete


@pytest.fixture
async def stores(bench: Bench) -> AsyncIterator[Stores]:
    """In the role that the worker has."""
    pool = await connect_pool(bench.dsn, role="headrace_writer", application="test")
    yield Stores(bench, RunStore(pool), RunUpkeep(pool), Backfill(pool))
    pool.terminate()


async def test_a_run_is_closed_when_neither_event_nor_point_was_heard(stores: Stores) -> None:
    """A long test sends points between its events: it goes on, and is not closed."""
    run = await stores.one_of_two()
    await stores.wait(run.execution, 1, points=False)
    assert await stores.upkeep.unsettled(GRACE) == []
    assert not await stores.upkeep.settle(run.execution, GRACE)
    await stores.wait(run.execution, 1)
    assert await stores.upkeep.unsettled(GRACE) == [run.execution]
    assert await stores.upkeep.settle(run.execution, GRACE)
    assert await stores.incomplete(run.execution) == (
        "1 of 2 runners finished; there was not heard of any more"
    )
    assert await stores.upkeep.settle(run.execution, GRACE)  # again, as a retry does
    assert await stores.upkeep.unsettled(GRACE) == []


async def test_events_neither_close_nor_open_a_closed_run(stores: Stores) -> None:
    """What comes late is noted; the run is opened by upkeep, once it is whole and nothing works on it."""
    run = await stores.one_of_two()
    await stores.wait(run.execution, 1)
    await stores.upkeep.settle(run.execution, GRACE)
    late = run.finished.model_copy(update={"runner": "there", "sent": []})
    assert await stores.runs.record(run.started) == "aggregating"
    await stores.runs.aggregate(run.execution)
    await stores.runs.clean_up(run.execution)
    await stores.runs.finish(run.execution, "failed")
    assert await stores.upkeep.unsettled(GRACE) == []
    assert await stores.runs.record(late) == "finished"
    assert await stores.upkeep.unsettled(GRACE) == [run.execution]
    assert await stores.upkeep.settle(run.execution, GRACE)
    assert await stores.incomplete(run.execution) is None
    assert (await rows_of(stores.bench.pool, run.execution))["raw"] == POINTS


async def test_kept_points_go_with_the_raw_retention(stores: Stores) -> None:
    """Of a finished run only, and then its aggregates are final: not even its missing runner opens it."""
    run = await stores.one_of_two()
    await stores.wait(run.execution, 24 * 40)
    month = timedelta(days=30)
    assert await stores.upkeep.drop_kept(month) == 0
    await stores.upkeep.settle(run.execution, GRACE)
    await stores.runs.aggregate(run.execution)
    await stores.runs.finish(run.execution, "failed")
    await stores.bench.pool.execute("UPDATE runs SET finished_at = now() - interval '40 days'")
    assert await stores.upkeep.drop_kept(month) == 1
    assert await stores.upkeep.drop_kept(month) == 0
    rows = await rows_of(stores.bench.pool, run.execution)
    assert (rows["raw"], rows["deleted"]) == (0, True)
    await stores.runs.record(run.finished.model_copy(update={"runner": "there", "sent": []}))
    assert not await stores.upkeep.settle(run.execution, GRACE)
    assert await rows_of(stores.bench.pool, run.execution) == rows


async def test_backfill_aggregates_what_was_left_and_says_so(stores: Stores) -> None:
    """Aborted, finished by an older version, without a run; not what goes on, not what is done. Resumable."""
    aborted, older, going = [await stores.one_of_two() for _ in range(3)]
    gave_up = RunAborted(
        execution_id=aborted.execution, tenant_id=stores.bench.tenant, at=aborted.started.at,
        runner="there", reason="lost",
    )  # fmt: skip
    await stores.runs.record(gave_up)
    await stores.wait(aborted.execution, 1)
    await stores.runs.aggregate(older.execution)
    await stores.runs.finish(older.execution, "passed")
    await stores.bench.pool.execute("DELETE FROM k6_aggregates WHERE kind = 'total'")
    nobodys = await store_run(stores.bench.pool, stores.bench.tenant, stores.bench.topics.samples)

    found = await stores.backfill.find(GRACE)
    assert {one.execution: (one.state, one.points, one.reason) for one in found} == {
        aborted.execution: ("aborted", POINTS, "never aggregated"),
        older.execution: ("finished", POINTS, "aggregated by an older version"),
    }
    assert await stores.backfill.unannounced() == [(nobodys.execution, POINTS)]
    told = json.loads(await _command(stores.bench, "--dry-run"))
    assert [one["rows"] for one in told["runs"]] == [None, None]
    await stores.backfill.aggregate(found[0].execution)
    told = json.loads(await _command(stores.bench))
    assert [(one["execution_id"], one["rows"] > 0) for one in told["runs"]] == [
        (str(found[1].execution), True)
    ]
    assert told["unannounced"] == [{"execution_id": str(nobodys.execution), "points": POINTS}]
    assert await stores.backfill.find(GRACE) == []
    rows = await rows_of(stores.bench.pool, aborted.execution)
    assert (rows["state"], rows["verdict"], rows["raw"]) == ("aborted", None, POINTS)
    assert rows["run_checks"]
    assert not (await rows_of(stores.bench.pool, going.execution))["aggregates"]


async def _command(bench: Bench, *options: str) -> str:
    """What `headrace k6 backfill --json` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "k6", "backfill", "--json", *options,
        env={**os.environ, **bench.env()}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()
