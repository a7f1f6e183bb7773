"""Run events in a real database: any order, any number of times, one row."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from schemas.errors import Invalid, Permanent, Temporary
from schemas.runs import RunAborted, RunEvent
from sinks.database import connect_pool
from sinks.migrate import migrate, plan
from sinks.runs import RunStore
from tests.ingestion import Bench
from tests.outages import database_away
from tests.stored_runs import store_run


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[RunStore]:
    """Runs, in the role that the worker has."""
    pool = await connect_pool(bench.dsn, role="headrace_writer", application="test")
    yield RunStore(pool)
    pool.terminate()


async def two_runners(bench: Bench) -> list[RunEvent]:
    """The events of a run on two machines, one of which was given up for a while."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    tags = {"branch": "main", "team": "shop"}
    started = run.started.model_copy(update={"runners_expected": 2, "tags": tags})
    there = {"runner": "there", "at": run.started.at + timedelta(seconds=1)}
    return [
        started,
        started.model_copy(update=there | {"tags": {"region": "eu"}, "keep_raw": True}),
        run.finished,
        run.finished.model_copy(update=there | {"metrics": {"extra": "gauge"}}),
        RunAborted(
            execution_id=run.execution,
            tenant_id=bench.tenant,
            at=run.finished.at,
            runner="there",
            reason="no sign of life",
        ),
    ]


async def row(bench: Bench, execution: UUID) -> dict[str, object]:
    """The run without its id and the time of the last event; jsonb has an order of its own."""
    found = await bench.pool.fetchrow("SELECT * FROM runs WHERE execution_id = $1", execution)
    return {**found, "execution_id": None, "heard_at": None}


async def test_events_in_any_order_make_the_same_run(bench: Bench, store: RunStore) -> None:
    """It aggregates once both runners have finished, wherever the events stood in line."""
    events = await two_runners(bench)
    rows = []
    for order in itertools.permutations(events):
        execution = uuid4()
        states = [
            await store.record(event.model_copy(update={"execution_id": execution}))
            for event in (*order, order[0])
        ]
        assert states[-1] == "aggregating"
        found = await row(bench, execution)
        text = str(found).replace(str(execution), "")
        rows.append(text)
    assert len(set(rows)) == 1
    assert json.loads(str(found["tags"])) == {"branch": "main", "region": "eu", "team": "shop"}
    assert found["keep_raw"]


async def test_a_finished_run_stays_finished(bench: Bench, store: RunStore) -> None:
    """An event delivered after the end neither opens the run again nor changes its verdict."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    await store.record(run.started)
    await store.record(run.finished)
    await store.finish(run.execution, "passed")
    before = await row(bench, run.execution)
    for event in (run.started, run.finished):
        assert await store.record(event) == "finished"
    assert await row(bench, run.execution) == before


async def test_a_run_belongs_to_the_tenant_that_began_it(bench: Bench, store: RunStore) -> None:
    """Another tenant's event for the same execution is refused and changes nothing."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    await store.record(run.started)
    other = await bench.pool.fetchval(
        "INSERT INTO tenants (name) VALUES ('other') RETURNING tenant_id"
    )
    before = await row(bench, run.execution)
    with pytest.raises(Invalid, match="another tenant"):
        await store.record(run.finished.model_copy(update={"tenant_id": other}))
    nobodys = {"tenant_id": uuid4(), "execution_id": uuid4()}
    with pytest.raises(Invalid, match="no tenant"):
        await store.record(run.finished.model_copy(update=nobodys))
    assert await row(bench, run.execution) == before


async def test_an_outage_is_temporary_and_an_unknown_run_is_not(
    bench: Bench, store: RunStore, postgres: str
) -> None:
    """What passes by itself is told apart from what a person must look at."""
    with database_away(postgres, bench.dsn):
        for call in (store.check(), store.load(uuid4())):
            with pytest.raises(Temporary):
                await call
    await store.check()
    with pytest.raises(Permanent, match="no run"):
        await store.load(uuid4())
    migrate(bench.dsn, rollback=len(plan(bench.dsn, to="5").steps))
    with pytest.raises(Permanent, match="headrace migrate"):
        await store.check()
