"""Deletion of metrics and tenants in both storage modes: nothing stays, and nobody else loses a sample."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from schemas.errors import Invalid
from schemas.settings import Settings
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.forget import Drained, DrainPolicy, Forgetting, Pool, drain
from sinks.lifecycle.maintenance import open_lifecycle
from tests.deletions import exact, owner, traces
from tests.ingestion import ARRIVES_WITHIN, Bench, ingestion
from tests.leaks.databases import MODES, migrated_database
from tests.processes import headrace

NAMES = ("doomed", "kept")


@pytest.fixture(params=MODES)
async def bench(request: pytest.FixtureRequest, kafka: str, topics: Topics) -> AsyncIterator[Bench]:
    """Topics, a tenant and a migrated database in each mode."""
    with migrated_database(request) as dsn:
        async with ingestion(kafka, dsn, topics) as found:
            yield found


async def refresh(pool: Pool) -> None:
    """Store every rollup and sketch that can be stored, and compress what is old enough."""
    now = datetime.now(UTC)
    lifecycle = await open_lifecycle(pool, Settings().lifecycle)
    await lifecycle.refresh_range(now - timedelta(days=10), now, now, lambda _: None)
    await lifecycle.compact(now, lambda _: None)


def record(tenant: UUID, name: str, values: Sequence[int], **fields: object) -> bytes:
    """An envelope of one metric: five series, values a second apart, three hours and nine days back."""
    now = datetime.now(UTC).timestamp()
    metrics = [
        {
            "name": name,
            "value": value,
            "labels": {"host": f"h{value % 5}"},
            "timestamp": int((now - (9 * 86_400 if value % 2 else 10_800) + value % 7_000) * 1000),
        }
        for value in values
    ]
    return msgspec.json.encode({"tenant_id": str(tenant), "metrics": metrics, **fields})


async def define(bench: Bench, tenant: UUID) -> None:
    """Definitions that make sketches of both metrics."""
    for name in NAMES:
        await bench.pool.execute(
            "INSERT INTO definitions (tenant_id, name, type, aggregation)"
            " VALUES ($1, $2, 'histogram', 'p95')",
            tenant,
            name,
        )


class Stream:
    """Produces samples of both metrics, each with a value of its own, until it is told to stop."""

    def __init__(self, bench: Bench, tenant: UUID, **fields: object) -> None:
        self._bench = bench
        self._tenant = tenant
        self._fields = fields
        self._stopped = asyncio.Event()
        self.sent = 0
        """Of each metric."""

    async def run(self) -> None:
        """Send a hundred samples of each metric at a time."""
        for start in itertools.count(0, 100):
            values = range(start, start + 100)
            await self._bench.produce(
                record(self._tenant, name, values, **self._fields) for name in NAMES
            )
            self.sent = start + 100
            if self._stopped.is_set():
                return

    def stop(self) -> None:
        """Let the last ones go out."""
        self._stopped.set()


async def series_of(bench: Bench, tenant: UUID, name: str) -> list[int]:
    """Numbers of a metric's series."""
    rows = await bench.pool.fetch(
        "SELECT series_id FROM series WHERE tenant_id = $1 AND name = $2", tenant, name
    )
    return [row["series_id"] for row in rows]


async def until(bench: Bench, query: str, value: int) -> None:
    """Wait until a query says so."""
    async with asyncio.timeout(ARRIVES_WITHIN):
        while True:
            if await bench.pool.fetchval(query) == value:
                return
            await asyncio.sleep(0.02)


async def test_a_metric_goes_without_a_trace_while_it_is_ingested(
    bench: Bench, tmp_path: Path
) -> None:
    """What is stored before is gone, in raw, rollups and sketches; what comes later is a new series."""
    await define(bench, bench.tenant)
    stream = Stream(bench, bench.tenant)
    async with owner(bench) as pool, asyncio.TaskGroup() as tasks:
        with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
            sending = tasks.create_task(stream.run())
            await bench.stored_at_least(4_000)
            await refresh(pool)
            old = await series_of(bench, bench.tenant, "doomed")
            assert await traces(bench, old, []) != []
            forgetting = Forgetting(pool)
            target = await forgetting.find("test", "doomed")
            plan = {one.what: one.n for one in await forgetting.plan(target)}
            assert plan["series"] == len(old) == 5
            assert plan["definitions"] == 1
            assert plan["samples"] >= 1_500
            assert await forgetting.forget(target) == 5
            # Nobody adds to them any more, so this is all that was ever stored under the old numbers.
            lost = await bench.pool.fetchval(
                "SELECT count(*) FROM samples WHERE series_id = ANY ($1)", old
            )
            await bench.stored_at_least((await bench.ledger())["stored"] + 1_000)
            steps: list[Drained] = []
            deleted = await drain(pool, steps.append, DrainPolicy(batch=3, first=1, look=0.01))
            assert deleted == steps[-1].rows > lost
            assert (steps[0].series_left, steps[-1].series_left) == (5, 0)
            await refresh(pool)
            await bench.stored_at_least((await bench.ledger())["stored"] + 1_000)
            stream.stop()
            await sending
            ledger = await bench.arrived(2 * stream.sent)
            assert process.process.poll() is None
        await refresh(pool)
    assert ledger["stored"] == ledger["received"] == 2 * stream.sent
    assert await traces(bench, old, []) == []
    left = dict(
        await bench.pool.fetch(
            "SELECT name, count(*) FROM samples JOIN series USING (series_id) GROUP BY 1"
        )
    )
    assert left == {"kept": stream.sent, "doomed": stream.sent - lost}
    doubled = "SELECT count(*) - count(DISTINCT v_num) FROM samples WHERE series_id = ANY ($1)"
    new = await series_of(bench, bench.tenant, "doomed")
    assert not set(new) & set(old)
    assert await bench.pool.fetchval(doubled, new) == 0
    assert await bench.pool.fetchval("SELECT array_agg(name) FROM definitions") == ["kept"]
    await exact(bench)


async def test_a_tenant_goes_without_a_trace_while_it_sends(bench: Bench, tmp_path: Path) -> None:
    """Series, samples, rollups, definitions, keys, runs and rejections go; the other tenant's stay."""
    gone: UUID = await bench.pool.fetchval(
        "INSERT INTO tenants (name, max_series) VALUES ('gone', 12) RETURNING tenant_id"
    )
    for tenant in (gone, bench.tenant):
        await define(bench, tenant)
    await bench.pool.execute(
        "INSERT INTO api_keys (key_hash, tenant_id, scopes) VALUES ($1, $2, '{read}')",
        bytes(32),
        gone,
    )
    runs = [uuid4(), uuid4()]
    await bench.pool.execute(
        "INSERT INTO runs (execution_id, tenant_id, test, started_at) VALUES ($1, $2, 't', now())",
        runs[0],
        gone,
    )
    await bench.pool.execute(
        "INSERT INTO k6_aggregates (execution_id, kind, metric, n, sum, min, max, avg, p50, p90, p95, p99)"
        " VALUES ($1, 'summary', 'm', 1, 1, 1, 1, 1, 1, 1, 1, 1)",
        runs[0],
    )
    theirs, ours = Stream(bench, gone), Stream(bench, bench.tenant)
    wide = record(gone, "wide", range(5))
    # The second run has points and no started event: only its series tell whose they are.
    points = [record(gone, "kept", range(100), execution_id=str(run)) for run in runs]
    async with owner(bench) as pool, asyncio.TaskGroup() as tasks:
        with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
            sending = [tasks.create_task(one.run()) for one in (theirs, ours)]
            await bench.stored_at_least(4_000)
            await bench.produce([wide, *points])
            await until(bench, "SELECT count(*) FROM k6_samples", 200)
            await until(bench, "SELECT sum(samples) FROM rejections", 3)
            await refresh(pool)
            series = [
                row[0]
                for row in await bench.pool.fetch(
                    "SELECT series_id FROM series WHERE tenant_id = $1", gone
                )
            ]
            assert len(series) == 12
            before = await bench.ledger()
            forgetting = Forgetting(pool)
            target = await forgetting.find("gone")
            plan = {one.what: one.n for one in await forgetting.plan(target)}
            assert [
                plan[k] for k in ("series", "keys", "runs", "run aggregates", "definitions")
            ] == [
                12,
                1,
                1,
                1,
                2,
            ]
            await forgetting.forget(target)
            with pytest.raises(Invalid, match="deleted already"):
                await forgetting.forget(target)
            await bench.stored_at_least(before["stored"] + 2_000)
            await drain(pool)
            for one in (theirs, ours):
                one.stop()
            await asyncio.gather(*sending)
            total = 2 * theirs.sent + 2 * ours.sent + 5 + 200
            # A record of a stranger is one dead letter, whatever it holds.
            handled = "SELECT sum(stored + rejected + 100 * dead_lettered)::int FROM ledger"
            await until(bench, handled, total)
            ledger = await bench.ledger()
            assert process.process.poll() is None
        await refresh(pool)
    assert ledger["dead_lettered"] > 0
    assert (ledger["rejected"], ledger["lost"]) == (3, 0)
    assert await traces(bench, series, [gone, *runs, *(run.hex for run in runs)]) == []
    letters = await bench.dead_letters()
    reasons = {dict(letter.headers)["reason"] for letter in letters}
    assert reasons == {b"unknown_tenant"}
    counts = await bench.pool.fetch(
        "SELECT name, count(*) AS n, count(DISTINCT v_num) AS different FROM samples"
        " JOIN series USING (series_id) GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in counts] == [(name, ours.sent, ours.sent) for name in NAMES]
    await exact(bench)


async def test_a_drain_that_was_cut_off_goes_on_where_it_stopped(
    bench: Bench, tmp_path: Path
) -> None:
    """After each step again, and by two at once: in the end all rows are gone, and none of another's."""
    await bench.produce(record(bench.tenant, name, range(1_000)) for name in NAMES)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await bench.arrived(2_000)
    async with owner(bench) as pool:
        await refresh(pool)
        old = await series_of(bench, bench.tenant, "doomed")
        forgetting = Forgetting(pool)
        await forgetting.forget(await forgetting.find("test", "doomed"))

        class CutOff(Exception):
            pass

        def cut_off(after: int) -> Any:
            steps = itertools.count(1)

            def progress(_: Drained) -> None:
                if next(steps) == after:
                    raise CutOff

            return progress

        for after in range(2, 12, 3):
            with pytest.raises(CutOff):
                await drain(pool, cut_off(after), DrainPolicy(batch=2, first=1))
        await asyncio.gather(drain(pool), drain(pool))
        assert await bench.pool.fetchval("SELECT count(*) FROM forgotten_series") == 0
        assert await traces(bench, old, []) == []
        await refresh(pool)
    assert await traces(bench, old, []) == []
    assert await bench.rows() == 1_000
    await exact(bench)


async def test_a_reader_in_a_long_transaction_brings_nothing_back(
    bench: Bench, tmp_path: Path
) -> None:
    """A refresh that began before the deletion still sees the samples: the drain waits for its end."""
    await bench.produce([record(bench.tenant, "doomed", range(100))])
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await bench.arrived(100)
    async with owner(bench) as pool, asyncio.TaskGroup() as tasks:
        old = await series_of(bench, bench.tenant, "doomed")
        forgetting = Forgetting(pool)
        await forgetting.forget(await forgetting.find("test", "doomed"))
        async with (
            bench.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            seen = await connection.fetch("SELECT DISTINCT series_id FROM samples")
            draining = tasks.create_task(drain(pool, policy=DrainPolicy(look=0.01)))
            await until(bench, "SELECT count(*) FROM samples", 0)
            for _ in range(10):
                assert not draining.done()
                await asyncio.sleep(0.01)
            await connection.executemany(
                "INSERT INTO sketch_1h (bucket, series_id, classes, n) VALUES (now(), $1, '', 1)",
                [tuple(row) for row in seen],
            )
        await draining
    assert await traces(bench, old, []) == []


async def test_what_is_not_there_is_not_deleted(bench: Bench) -> None:
    """Names that nobody has are refused in words, and a tenant's role reaches its own metrics only."""
    other: UUID = await bench.pool.fetchval(
        "INSERT INTO tenants (name) VALUES ('other') RETURNING tenant_id"
    )
    await define(bench, bench.tenant)
    async with owner(bench) as pool:
        forgetting = Forgetting(pool)
        with pytest.raises(Invalid, match="no tenant 'nobody'"):
            await forgetting.find("nobody")
        with pytest.raises(Invalid, match="no metric 'nothing'"):
            await forgetting.find("test", "nothing")
    async with (
        await connect_pool(bench.dsn, role="headrace_editor", application="test") as pool,
        pool.acquire() as connection,
    ):
        for tenant in (str(other), "", None):
            async with connection.transaction():
                await connection.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)
                for metric in ("doomed", None):
                    try:
                        async with connection.transaction():
                            await connection.execute("SELECT forget_metric($1)", metric)
                    except (asyncpg.NoDataFoundError, asyncpg.NullValueNotAllowedError):
                        pass
        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(other))
            rows = await connection.fetch("SELECT sum(n)::int FROM metric_plan('doomed')")
            assert [tuple(row) for row in rows] == [(0,)]
    assert await bench.pool.fetchval("SELECT count(*) FROM definitions") == 2


async def test_by_command_it_is_said_asked_and_done(bench: Bench, tmp_path: Path) -> None:
    """A dry run changes nothing, nobody to ask is an error, and --yes deletes; then it is unknown."""
    await define(bench, bench.tenant)
    await bench.produce(record(bench.tenant, name, range(500)) for name in NAMES)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await bench.arrived(1_000)

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", "tenants", *words],
            env={**os.environ, **bench.env()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    metric = ("metrics", "delete", "test", "doomed")
    dry = json.loads((await asyncio.to_thread(run, *metric, "--dry-run", "--json")).stdout)
    assert (dry["dry_run"], dry["removes"]["series"], dry["removes"]["samples"]) == (True, 5, 500)
    refused = await asyncio.to_thread(run, *metric)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert await bench.rows() == 1_000
    done = json.loads((await asyncio.to_thread(run, *metric, "--yes", "--json")).stdout)
    assert done["rows_deleted"] >= 500
    assert await bench.rows() == 500
    assert (await asyncio.to_thread(run, *metric, "--yes")).returncode == 1
    told = await asyncio.to_thread(run, "delete", "test", "--yes")
    assert told.stdout == "deleted test: 500 rows\n", told
    assert await bench.rows() == 0
    assert await traces(bench, [], [bench.tenant]) == []
