"""Age: what is dropped, kept, compressed; that it is what was announced, and no rollup suffers by it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from schemas.lifecycle import floor
from schemas.named_queries import load
from sinks.lifecycle.maintenance import PARTS, Maintenance
from tests.contract.conftest import Storage
from tests.lifecycle import DAY, HOUR, MINUTE, Point, Stored, from_raw, policy, quiet, stored

NOW = datetime(2031, 1, 30, 10, 30, tzinfo=UTC)
POLICY = policy(
    raw_retention=10 * DAY, retention_1m=20 * DAY, retention_5m=30 * DAY, retention_1h=40 * DAY
)


@pytest.fixture
async def store(migrated: Storage) -> AsyncIterator[Stored]:
    """A database of each kind in turn: raw is kept 10 days, minutes 20, five minutes 30, hours 40."""
    async with stored(migrated.dsn, POLICY, wasm=migrated.kind == "timescaledb-wasm") as found:
        yield found


@pytest.fixture(params=["database", "native"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Stored]]:
    """A server in each storage mode, and its DSN: for what takes more than one connection."""
    found = request.getfixturevalue(request.param)
    dsn = str(found.dsn if isinstance(found, Storage) else found)
    async with stored(dsn, POLICY) as opened:
        yield dsn, opened


async def grow(store: Stored, series: Iterable[int], ages: Iterable[int], now: datetime) -> None:
    """A sample of each series so many days ago, each refreshed in its time."""
    numbers = list(series)
    for age in sorted(ages, reverse=True):
        then = now - age * DAY
        await store.store([(then, number, 1.0) for number in numbers])
        await store.refresh(min(then + 2 * HOUR, now))
    await store.refresh(now)


async def ages(store: Stored, relation: str, series: int, now: datetime) -> list[int]:
    """How many days ago the rows of a series are."""
    time = "ts" if relation == "samples" else "bucket"
    rows = await store.pool.fetch(
        f"SELECT {time} AS at FROM {relation} WHERE series_id = $1",  # noqa: S608 # names below
        series,
    )
    return sorted((floor(now, DAY) - floor(row["at"], DAY)).days for row in rows)


async def test_a_dry_run_says_what_a_run_does(store: Stored) -> None:
    """Each level goes at its own age, in whole parts; definitions keep samples longer, or not as long."""
    usual = await store.series("usual")
    patient = await store.series("patient", retention_days=25)
    brief = await store.series("brief", type="histogram", retention_days=3)
    await grow(store, [usual, patient, brief], [0, 1, 3, 4, 9, 10, 11, 24, 26, 29, 70], NOW)
    announced = await store.lifecycle.removals(NOW)
    assert await store.lifecycle.removals(NOW) == announced
    removed = await Maintenance(store.pool, store.lifecycle, lambda: NOW).retain(NOW, quiet)
    assert removed == announced
    assert await store.lifecycle.removals(NOW) == []

    # Of the day that began more than ten days ago a part is younger: it stays whole.
    assert await ages(store, "samples", usual, NOW) == [0, 1, 3, 4, 9, 10]
    assert await ages(store, "samples", patient, NOW) == [0, 1, 3, 4, 9, 10, 11, 24]
    assert await ages(store, "samples", brief, NOW) == [0, 1, 3]
    for relation in ("samples_1m", "samples_5m", "samples_1h"):
        assert await ages(store, relation, brief, NOW) == [0, 1, 3]
    assert await ages(store, "sketches_1h", brief, NOW) == [0, 1, 3]
    for number in (usual, patient):
        hours = await ages(store, "samples_1h", number, NOW)
        assert hours == [0, 1, 3, 4, 9, 10, 11, 24, 26, 29]
    assert {"drop", "thin out", "delete"} == {removal.action for removal in announced}
    oldest = await store.pool.fetchval("SELECT min(hour) FROM hour_versions")
    assert NOW - oldest < 40 * DAY


async def test_a_metric_that_is_no_histogram_any_more_loses_its_sketches(store: Stored) -> None:
    """Of a definition that is deleted or says otherwise nothing is left; the others keep theirs."""
    kept, deleted, changed = [
        await store.series(name, type="histogram") for name in ("kept", "deleted", "changed")
    ]
    await grow(store, [kept, deleted, changed], [1, 3], NOW)
    await store.pool.execute("DELETE FROM definitions WHERE name = 'deleted'")
    await store.pool.execute("UPDATE definitions SET type = 'gauge' WHERE name = 'changed'")
    (removal,) = await store.lifecycle.removals(NOW)
    assert (removal.level, removal.rows) == ("sketch", 4)
    await Maintenance(store.pool, store.lifecycle, lambda: NOW).retain(NOW, quiet)
    assert await ages(store, "sketch_1h", kept, NOW) == [1, 3]
    assert await store.pool.fetchval("SELECT count(*) FROM sketch_1h") == 2
    assert await store.lifecycle.removals(NOW) == []


async def test_refreshing_empties_no_rollup_whose_source_is_gone(store: Stored) -> None:
    """Everything is computed anew from further back than the sources go: what is older stays as it is."""
    series = await store.series("gauge")
    await grow(store, [series], [1, 9, 11, 19, 22, 28, 33], NOW)
    await Maintenance(store.pool, store.lifecycle, lambda: NOW).retain(NOW, quiet)
    before = {name: await store.rollup(name, [series], NOW - 60 * DAY) for name in ("5m", "1h")}
    assert len(before["1h"]) == 7
    await store.lifecycle.refresh_range(NOW - 60 * DAY, NOW, NOW, quiet)
    await store.lifecycle.catch_up(NOW, quiet)
    for name, rows in before.items():
        assert await store.rollup(name, [series], NOW - 60 * DAY) == rows


async def test_what_no_rollup_holds_yet_is_not_dropped(database: str) -> None:
    """Days without maintenance: the samples are rolled up first, then what is too old of them goes."""
    async with stored(database, POLICY) as store:
        series = await store.series("latency", type="histogram")
        await store.store([(NOW - age * DAY, series, 1.0) for age in (12, 13, 14)])
        await Maintenance(store.pool, store.lifecycle, lambda: NOW).retain(NOW, quiet)
        assert await ages(store, "samples", series, NOW) == []
        assert await ages(store, "samples_1h", series, NOW) == [12, 13, 14]
        assert await ages(store, "sketches_1h", series, NOW) == [12, 13, 14]


async def test_a_backlog_is_worked_off_by_the_day(server: tuple[str, Stored]) -> None:
    """Forty days that came at once are forty transactions, and the levels above as many."""
    _, store = server
    series = await store.series("latency", type="histogram")
    await store.refresh(NOW)
    await store.store([(NOW - n * 6 * HOUR, series, 1.0) for n in range(1, 160)])
    told: list[str] = []
    done = await store.lifecycle.refresh(NOW, told.append)
    assert done.steps == len(told) >= 80
    assert (await store.lifecycle.refresh(NOW, quiet)).steps == 0
    hours = await store.pool.fetchval("SELECT count(*) FROM sketches_1h")
    assert hours == 159


async def test_the_jobs_empty_no_rollup_either(native: Storage) -> None:
    """TimescaleDB's own refreshes, after the chunks of their sources were dropped, keep what is older."""
    now = datetime.now(UTC)
    async with stored(native.dsn, POLICY) as store:
        series = await store.series("gauge")
        await grow(store, [series], [1, 9, 11, 19, 22, 28, 33], now)
        await Maintenance(store.pool, store.lifecycle, lambda: now).retain(now, quiet)
        before = {name: await store.rollup(name, [series], now - 60 * DAY) for name in ("5m", "1h")}
        assert len(before["1h"]) == 7
        await store.lifecycle.ensure(now, quiet)
        jobs = await store.pool.fetch(load("sinks.sql", "lifecycle_timescaledb.sql")["jobs"])
        assert len(jobs) == 11
        for job in sorted(jobs, key=lambda job: str(job["relation"])):
            if job["kind"] == "policy_refresh_continuous_aggregate":
                await store.pool.execute(f"CALL run_job({job['job_id']})")
        for name, rows in before.items():
            assert await store.rollup(name, [series], now - 60 * DAY) == rows


async def test_jobs_follow_the_settings_and_are_else_left_alone(native: Storage) -> None:
    """What a person has made of a job's schedule of retries stays; times that differ are put right."""
    async with stored(native.dsn) as store:
        assert await store.lifecycle.ensure(NOW, quiet) == 11
        assert await store.lifecycle.ensure(NOW, quiet) == 0
        await store.series("patient", retention_days=400)
        assert await store.lifecycle.ensure(NOW, quiet) == 1
    async with stored(
        native.dsn, policy(compress_1h_after=20 * DAY, refresh_5m_window=30 * DAY)
    ) as store:
        assert await store.lifecycle.ensure(NOW, quiet) == 2
        query = load("sinks.sql", "lifecycle_timescaledb.sql")["jobs"]
        jobs = {(row["kind"], row["relation"]): row for row in await store.pool.fetch(query)}
    assert jobs["policy_retention", "samples"]["after"] == 400 * DAY
    assert jobs["policy_compression", "samples_1h"]["after"] == 20 * DAY
    assert jobs["policy_refresh_continuous_aggregate", "samples_5m"]["window"] == 30 * DAY


async def test_late_samples_older_than_the_window_reach_the_rollups(native: Storage) -> None:
    """Between the retention of raw samples and the window of the jobs, maintenance refreshes."""
    now = datetime.now(UTC)
    async with stored(native.dsn, policy()) as store:
        series = await store.series("gauge")
        await grow(store, [series], [1, 20], now)
        late = (now - 20 * DAY, series, 9.0)
        await store.store([late])
        await store.lifecycle.catch_up(now, quiet)
        shown = await store.rollup("1m", [series], now - 30 * DAY)
        assert shown[floor(late[0], MINUTE), series] == (9.0, 1.0, 10.0, 2)


async def test_partitions_are_there_before_they_are_needed(database: str) -> None:
    """Today's and three days' of samples, this month's and the next of rollups; made once."""
    async with stored(database) as store:
        assert await store.lifecycle.ensure(NOW, quiet) == 4 + 2 * 3
        assert await store.lifecycle.ensure(NOW, quiet) == 0


async def test_old_parts_are_compacted_once_and_say_the_same(store: Stored) -> None:
    """Sorted or compressed, what came in without order reads the same; then there is nothing to do."""
    series = [await store.series(f"gauge{n}") for n in range(3)]
    points: list[Point] = [
        (NOW - 9 * DAY + minute * MINUTE, number, float(minute))
        for minute in range(60)
        for number in series
    ]
    await store.store(points[::2])
    await store.store(points[1::2])
    await store.refresh(NOW)
    done = await store.lifecycle.compact(NOW, quiet)
    assert done
    assert await store.lifecycle.compact(NOW, quiet) == []
    rows = await store.pool.fetch("SELECT ts, series_id, v_num FROM samples")
    assert sorted(map(tuple, rows)) == sorted(points)
    status = await store.lifecycle.status(NOW)
    raw = status.levels[0]
    assert (raw.level, raw.compacted) == ("raw", 1)


async def test_chunks_that_came_in_compressed_but_unordered_are_put_in_order(
    native: Storage,
) -> None:
    """Two overlapping direct-compressed COPYs, and a plain row: one chunk, compressed and ordered."""
    then = NOW - 9 * DAY
    with psycopg.connect(native.dsn, autocommit=True) as connection:
        for begin in (0, 30):
            with connection.transaction():
                connection.execute("SET LOCAL timescaledb.enable_direct_compress_copy = on")
                with connection.cursor().copy(
                    "COPY samples (ts, series_id, v_num) FROM STDIN"
                ) as copy:
                    for series in range(20):
                        for minute in range(begin, begin + 600):
                            copy.write_row((then + minute * MINUTE, series, 1.0))
        connection.execute("INSERT INTO samples VALUES (%s, 1, 1)", (then,))
    async with stored(native.dsn) as store:
        raw = (await store.lifecycle.status(NOW)).levels[0]
        assert (raw.parts, raw.compacted) == (1, 0)
        assert len(await store.lifecycle.compact(NOW, quiet)) == 1
        raw = (await store.lifecycle.status(NOW)).levels[0]
        assert (raw.compacted, raw.rows) == (1, 24001)
        assert raw.ratio is not None
        assert raw.ratio > 1
        assert await store.pool.fetchval("SELECT count(*) FROM samples") == 24001


async def test_status_tells_what_waits_and_what_goes_next(store: Stored) -> None:
    """Every level with its lag, marks by level, the last run of each part of maintenance."""
    series = await store.series("gauge")
    await grow(store, [series], [1, 11], NOW)
    await store.store([(NOW - DAY, series, 1.0)])
    runs = Maintenance(store.pool, store.lifecycle, lambda: NOW)
    await store.pool.execute("INSERT INTO forgotten_series (series_id) VALUES (99)")
    status = await store.lifecycle.status(NOW)
    assert (status.forgotten_series, status.marks["raw"]) == (1, 1)
    assert [level.level for level in status.levels] == ["raw", "1m", "5m", "1h", "sketch"]
    by_level = {level.level: level for level in status.levels}
    assert by_level["sketch"].lag == 600.0
    assert by_level["1m"].lag is not None
    assert by_level["raw"].lag is None
    first = status.next_drops[0]
    assert (first.level, first.at <= NOW) == ("raw", True)
    for part in PARTS:
        await runs.run(part, quiet)
    after = await store.lifecycle.status(NOW)
    assert (after.forgotten_series, after.marks) == (0, {})
    told = {p.name: p.last_result for p in after.policies if p.name.startswith("maintenance")}
    assert set(told) == {f"maintenance: {part}" for part in PARTS}
    assert "marks" in str(told["maintenance: refresh"])


async def test_a_failure_is_recorded_and_raised(database: str) -> None:
    """The last error of a part is kept until it works again."""
    async with stored(database, POLICY) as store:
        runs = Maintenance(store.pool, store.lifecycle, lambda: NOW)
        await store.pool.execute("ALTER TABLE rollups RENAME TO elsewhere")
        with pytest.raises(Exception, match="rollups"):
            await runs.run("refresh", quiet)
        await store.pool.execute("ALTER TABLE elsewhere RENAME TO rollups")
        failed = {p.name: p.last_result for p in (await store.lifecycle.status(NOW)).policies}
        assert "failed" in str(failed["maintenance: refresh"])
        await runs.run("refresh", quiet)
        worked = {p.name: p.last_result for p in (await store.lifecycle.status(NOW)).policies}
        assert "failed" not in str(worked["maintenance: refresh"])


async def test_refreshers_and_ingest_at_once_stay_exact(server: tuple[str, Stored]) -> None:
    """Two refreshers and a sink at work on the same minutes: each sample counts once in every level."""
    dsn, store = server
    series = [await store.series(f"gauge{n}", type="summary") for n in range(3)]
    points: list[Point] = []
    ended = asyncio.Event()

    async def ingest() -> None:
        for batch in range(40):
            fresh = [
                (
                    NOW - (batch * 37 % 200) * MINUTE - second * timedelta(seconds=7),
                    number,
                    float(batch),
                )
                for number in series
                for second in range(10)
            ]
            await store.store(fresh)
            points.extend(fresh)
        ended.set()

    async def refresh() -> None:
        async with stored(dsn, POLICY) as another:
            while not ended.is_set():
                await another.lifecycle.refresh(NOW, quiet)

    await asyncio.gather(ingest(), refresh(), refresh())
    await store.refresh(NOW + 3 * HOUR)
    for level in ("1m", "5m", "1h"):
        shown = await store.rollup(level, series, NOW - DAY)
        expected = from_raw(level, points)
        assert {key: row[3] for key, row in shown.items()} == {
            k: len(v) for k, v in expected.items()
        }
        assert {key: row[2] for key, row in shown.items()} == {
            k: sum(v) for k, v in expected.items()
        }
    sketched = await store.pool.fetchval("SELECT sum(n) FROM sketches_1h")
    assert sketched == len(points)


async def test_a_refresher_killed_in_the_middle_of_a_step_loses_nothing(database: str) -> None:
    """Its step is undone, marks and all, and done by the next, which does not wait for it for long."""
    async with stored(database, POLICY) as store:
        series = await store.series("gauge")
        await store.store([(NOW - minute * MINUTE, series, 1.0) for minute in range(300)])
        await store.refresh(NOW)
        late = (NOW - 2 * HOUR, series, 5.0)
        await store.store([late])
        async with await psycopg.AsyncConnection.connect(database) as blocker:
            await blocker.execute("LOCK TABLE rollup_1m IN SHARE MODE")
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.chaos.dying_refresher", database
            )
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rollup_1m'::regclass"
            async with asyncio.timeout(30):
                while not await store.pool.fetchval(query):  # noqa: ASYNC110 # a lock sends no event
                    await asyncio.sleep(0.02)
            child.kill()
            assert await child.wait() == -signal.SIGKILL
            await blocker.rollback()
        await store.refresh(NOW)
        shown = await store.rollup("1h", [series], NOW - DAY)
        assert shown[floor(late[0], HOUR), series][3] == 61
        waiting = await store.pool.fetchval("SELECT count(*) FROM rollup_dirty WHERE level = 'raw'")
        assert waiting == 2  # the minutes that are still open


async def test_a_drop_that_was_cut_off_is_completed(database: str) -> None:
    """A partition that was detached to be dropped goes; one that somebody put aside stays."""
    async with stored(database, POLICY) as store:
        series = await store.series("gauge")
        await grow(store, [series], [1, 30, 31], NOW)
        going, kept = (f"samples_{NOW - n * DAY:%Y%m%d}" for n in (30, 31))
        await store.pool.execute(f"COMMENT ON TABLE {going} IS 'headrace: past its retention'")
        for part in (going, kept):
            await store.pool.execute(f"ALTER TABLE samples DETACH PARTITION {part} CONCURRENTLY")
        await store.lifecycle.ensure(NOW, quiet)
        exists = "SELECT to_regclass($1) IS NOT NULL"
        assert [await store.pool.fetchval(exists, part) for part in (going, kept)] == [False, True]


@pytest.mark.parametrize("dsn_of", ["database", "native"])
async def test_every_query_of_the_lifecycle_is_valid(
    dsn_of: str, request: pytest.FixtureRequest
) -> None:
    """The server parses and plans each named query against the schema, in the owner's role."""
    found = request.getfixturevalue(dsn_of)
    dsn = str(found.dsn if isinstance(found, Storage) else found)
    mode = "timescaledb" if isinstance(found, Storage) else "postgresql"
    async with stored(dsn) as store:
        for file in ("lifecycle.sql", "lifecycle_incidents.sql", f"lifecycle_{mode}.sql"):
            async with store.pool.acquire() as connection:
                for name, query in load("sinks.sql", file).items():
                    if name not in {
                        "set_aside",
                        "put_back",
                    }:  # a temporary table, and what reads it
                        await connection.prepare(query)
