"""The limits of series: exact under concurrent writers, harmless to what is there, and told."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.named_queries import load
from schemas.series import Key, Series, canonical
from sinks.cardinality import cardinality, limit_series
from sinks.database import connect_pool
from sinks.definitions import ChangesOfDefinitions
from sinks.series import Limits, PastLimit, SeriesDictionary, TenantGone
from tests.ingestion import PARTITIONS, Bench
from tests.integration.test_ingest import envelope, sample
from tests.processes import Headrace, headrace

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Pool]:
    async with await connect_pool(database, role=None, application="test") as pool:
        yield pool


@pytest.fixture
async def writer(database: str) -> AsyncIterator[Pool]:
    async with await connect_pool(database, role="headrace_writer", application="test") as pool:
        yield pool


@pytest.fixture
async def tenant(admin: Pool) -> UUID:
    made: UUID = await admin.fetchval(
        "INSERT INTO tenants (name) VALUES ('acme') RETURNING tenant_id"
    )
    return made


def series(tenant: UUID, name: str, **labels: object) -> Series:
    """A series with these labels."""
    return canonical(tenant, name, json.dumps({k: str(v) for k, v in labels.items()}).encode())


def accepted(found: list[int | PastLimit]) -> list[int]:
    """The numbers among the answers."""
    return [one for one in found if isinstance(one, int)]


def reasons(found: list[int | PastLimit]) -> set[str]:
    """Why the others have none."""
    return {one.reason for one in found if isinstance(one, PastLimit)}


async def shown(process: Headrace, name: str, **labels: str) -> float:
    """What a process shows of this metric; 0 before it is shown."""
    url = f"http://127.0.0.1:{process.port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        text = await answer.text()
    return sum(
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if (one.name, one.labels) == (name, labels)
    )


async def counted_right(admin: Pool) -> None:
    """The catalog says the same as the series themselves."""
    for query in (
        (
            "SELECT tenant_id, series FROM tenants EXCEPT"
            " SELECT tenant_id, count(s.*) FROM tenants LEFT JOIN series s USING (tenant_id) GROUP BY 1"
        ),
        (
            "SELECT tenant_id, name, series FROM metrics EXCEPT"
            " SELECT tenant_id, name, count(*) FROM series GROUP BY 1, 2"
        ),
        (
            "SELECT tenant_id, name, label, n_values FROM metric_labels EXCEPT"
            " SELECT tenant_id, name, key, count(DISTINCT value)"
            " FROM series, jsonb_each_text(labels) GROUP BY 1, 2, 3"
        ),
        (
            "SELECT tenant_id, name, label, value FROM label_values EXCEPT"
            " SELECT tenant_id, name, key, value FROM series, jsonb_each_text(labels)"
        ),
        (
            "SELECT tenant_id, name, key, value FROM series, jsonb_each_text(labels) EXCEPT"
            " SELECT tenant_id, name, label, value FROM label_values"
        ),
    ):
        assert await admin.fetch(query) == [], query


async def test_every_named_query_is_valid_sql(admin: Pool) -> None:
    """Each query can be prepared on a migrated database."""
    async with admin.acquire() as connection:
        for file in ("ingest.sql", "cardinality.sql", "forget.sql"):
            for name, query in load("sinks.sql", file).items():
                if name != "parts_timescaledb":
                    await connection.prepare(query)


async def test_two_writers_at_once_stay_within_the_limit_to_the_last_series(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """Each adds its own and the shared ones, in opposite orders; together exactly the limit is made."""
    limits = Limits(series=500)
    first, second = SeriesDictionary(writer, limits), SeriesDictionary(writer, limits)
    shared = [series(tenant, "shared", n=i) for i in range(200)]

    async def add(dictionary: SeriesDictionary, mine: list[Series]) -> list[int | PastLimit]:
        found: list[int | PastLimit] = []
        for i in range(0, len(mine), 10):
            found += await dictionary.resolve(mine[i : i + 10])
        return found

    a, b = await asyncio.gather(
        add(first, shared + [series(tenant, "a", n=i) for i in range(300)]),
        add(second, shared[::-1] + [series(tenant, "b", n=i) for i in range(300)]),
    )
    assert len(set(accepted(a) + accepted(b))) == 500
    assert reasons(a) | reasons(b) == {"too_many_series"}
    assert a[:200] == b[:200][::-1]
    assert await admin.fetchval("SELECT count(*) FROM series") == 500
    await counted_right(admin)


async def test_values_of_a_label_stop_at_the_limit_and_known_values_go_on(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """The limit is a label's in one metric: other labels, other metrics and known values are free."""
    dictionary = SeriesDictionary(writer, Limits(label_values=10))
    found = await dictionary.resolve([series(tenant, "m", user=i, region=i % 3) for i in range(50)])
    assert len(accepted(found)) == 10
    assert accepted(found) == accepted(found[:10])
    assert reasons(found) == {"too_many_label_values"}
    again = [series(tenant, "m", user=i % 10, region=i % 4) for i in range(40)]
    assert reasons(await dictionary.resolve(again)) == set()
    assert reasons(await dictionary.resolve([series(tenant, "m", user=99)])) != set()
    assert reasons(await dictionary.resolve([series(tenant, "other", user=99)])) == set()
    await counted_right(admin)


async def test_a_definition_has_the_last_word_on_the_values_of_a_label(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """It raises or lowers the limit for its metric alone."""
    await admin.execute(
        "INSERT INTO definitions (tenant_id, name, type, aggregation, max_label_values)"
        " VALUES ($1, 'm', 'gauge', 'avg', 3)",
        tenant,
    )
    dictionary = SeriesDictionary(writer, Limits(label_values=5))
    for name, most in (("m", 3), ("other", 5)):
        found = await dictionary.resolve([series(tenant, name, user=i) for i in range(9)])
        assert len(accepted(found)) == most
        (refused, *_) = [one for one in found if isinstance(one, PastLimit)]
        assert f"the limit of {most} values" in str(refused)


async def test_one_tenant_at_its_limit_stops_no_other(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """Even in the same batch, and while the first tenant's row is locked by somebody."""
    other: UUID = await admin.fetchval(
        "INSERT INTO tenants (name) VALUES ('other') RETURNING tenant_id"
    )
    await limit_series(admin, "acme", 2)
    mixed = [series(t, "m", n=i) for i in range(5) for t in (tenant, other)]
    found = await SeriesDictionary(writer).resolve(mixed)
    assert [isinstance(one, int) for one in found[1::2]] == [True] * 5
    assert len(accepted(found[::2])) == 2
    async with admin.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM tenants WHERE tenant_id = $1 FOR UPDATE", tenant)
        async with asyncio.timeout(5):
            late = await SeriesDictionary(writer).resolve([series(other, "late")])
    assert reasons(late) == set()


async def test_the_same_series_twice_in_a_batch_is_one(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """Two spellings of a series are asked for together, and fill one place."""
    found = await SeriesDictionary(writer, Limits(series=1)).resolve([series(tenant, "m")] * 3)
    assert len(set(accepted(found))) == 1
    await counted_right(admin)


async def test_the_writer_has_no_way_round_the_limit(writer: Pool, tenant: UUID) -> None:
    """The role of the ingest process can't write a series, a count or a limit."""
    for statement in (
        (
            "INSERT INTO series (tenant_id, name, labels, fingerprint)"
            " VALUES ('{}', 'm', '{{}}', '\\x00000000000000000000000000000000')"
        ),
        "UPDATE tenants SET series = 0 WHERE tenant_id = '{}'",
        "UPDATE metric_labels SET n_values = 0 WHERE tenant_id = '{}'",
        "SELECT forget('{}', NULL)",
        "SELECT forget_plan('{}', NULL)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute(statement.format(tenant))


async def test_a_series_of_a_tenant_that_is_gone_is_a_strangers(writer: Pool) -> None:
    """The caller is told to look at the tenants again."""
    with pytest.raises(TenantGone):
        await SeriesDictionary(writer).resolve([series(UUID(int=7), "m")])


async def test_refusals_are_remembered_for_a_while_and_within_bounds(
    writer: Pool, tenant: UUID
) -> None:
    """A refused spelling asks nobody until its time is over, or until limits change."""
    now = 0.0
    dictionary = SeriesDictionary(
        writer, Limits(series=1, believed=60, remembered=10), clock=lambda: now
    )
    epoch = await dictionary.epoch()
    keys: list[Key] = [("m", b'{"n":"%d"}' % i) for i in range(30)]
    found = await dictionary.resolve([canonical(tenant, *key) for key in keys])
    for key, one in zip(keys, found, strict=True):
        dictionary.remember(tenant, key, one, epoch)
    kept = [key for key in keys if dictionary.refusal(tenant, key)]
    assert kept == keys[-len(kept) :]
    assert 0 < len(kept) <= 10
    assert dictionary.refusal(UUID(int=1), kept[0]) is None
    now = 60.0
    assert dictionary.refusal(tenant, kept[0]) is None
    now = 59.0
    dictionary.ask_again()
    assert dictionary.refusal(tenant, kept[0]) is None


async def test_the_cache_is_bounded_by_bytes_as_well(writer: Pool, tenant: UUID) -> None:
    """Spellings of 64 KiB each don't fill the memory: the oldest are dropped."""
    dictionary = SeriesDictionary(writer, limit=1000, limit_bytes=100_000)
    epoch = await dictionary.epoch()
    keys: list[Key] = [("m", b"x" * 60_000 + b"%d" % i) for i in range(9)]
    for number, key in enumerate(keys):
        dictionary.remember(tenant, key, number, epoch)
    known = [key for key in keys if key in dictionary.of(tenant) or dictionary.recall(tenant, key)]
    assert keys[-1] in known
    assert len(known) <= 4


async def test_what_ingest_rejects_is_counted_and_the_rest_of_the_record_goes_on(
    bench: Bench, tmp_path: Path
) -> None:
    """Ledger, table and metrics agree; a raised limit is heeded within two seconds."""
    await limit_series(bench.pool, "test", 3)
    known = [sample(labels={"host": f"h{i}"}) for i in range(3)]
    new = [sample(name="new", labels={"host": f"n{i}"}) for i in range(4)]
    env = bench.env(HEADRACE_MAX_LABEL_VALUES="50")
    with headrace("ingest", env=env, log=tmp_path / "log") as process:
        await bench.produce([envelope(bench, *known)])
        await bench.arrived(3)
        await bench.produce([envelope(bench, *known, *new)] * 20)
        ledger = await bench.handled(3 + 140)
        assert (ledger["stored"], ledger["rejected"]) == (63, 80)
        assert ledger["received"] == 143
        (row,) = await bench.pool.fetch("SELECT * FROM rejections")
        assert (row["reason"], row["samples"], row["last_name"]) == ("too_many_series", 80, "new")
        assert json.loads(row["last_labels"])["host"].startswith("n")
        assert await shown(process, "headrace_ingest_samples_total", outcome="rejected") == 80
        reason = {"reason": "too_many_series"}
        assert await shown(process, "headrace_ingest_rejected_samples_total", **reason) == 80

        await limit_series(bench.pool, "test", None)
        async with asyncio.timeout(2):
            while True:
                if await shown(process, "headrace_ingest_changes_seen_total"):
                    break
                await asyncio.sleep(0.02)
        await bench.produce([envelope(bench, *new)])
        assert (await bench.handled(147))["stored"] == 67
        found = await cardinality(bench.pool, tenant="test")
        assert [(m.metric, m.series) for m in found.metrics] == [("new", 4), ("cpu", 3)]
        assert found.rejections[0].samples == 80
    assert await bench.dead_letters() == []
    assert (tmp_path / "log").read_text().count("are refused (too_many_series)") == 1


async def test_points_of_a_run_past_the_limit_are_dead_letters(
    bench: Bench, tmp_path: Path
) -> None:
    """A run's ledger has stored and dead-lettered points, and its workflow counts on both."""
    await limit_series(bench.pool, "test", 1)
    execution = UUID(int=5)
    value = envelope(bench, sample(), sample(name="new"), execution_id=str(execution))
    await bench.produce([value] * PARTITIONS)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.handled(2 * PARTITIONS)
    assert (ledger["stored"], ledger["dead_lettered"], ledger["rejected"]) == (4, 4, 0)
    counts = await bench.pool.fetchrow(
        "SELECT sum(stored), sum(dead_lettered) FROM run_ledger WHERE execution_id = $1", execution
    )
    assert tuple(counts) == (4, 4)


async def test_a_change_is_heard_within_two_seconds_though_the_listener_was_killed(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """Over and over: its session is ended, a definition or a limit changes, and it tells."""
    heard = asyncio.Event()
    watching = asyncio.create_task(ChangesOfDefinitions(writer, heard.set).run())

    async def listeners() -> list[int]:
        while True:
            rows = await admin.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND query LIKE '%tenant_changes%'"
            )
            if rows:
                return [row["pid"] for row in rows]
            await asyncio.sleep(0.02)

    try:
        for change in (
            (
                "INSERT INTO definitions (tenant_id, name, type, aggregation)"
                " VALUES ($1, 'm', 'gauge', 'avg')"
            ),
            "UPDATE definitions SET unit = 's', version = version + 1 WHERE tenant_id = $1",
            "UPDATE tenants SET max_series = 9 WHERE tenant_id = $1",
            "DELETE FROM definitions WHERE tenant_id = $1",
        ):
            async with asyncio.timeout(10):
                pids = await listeners()
            heard.clear()
            await admin.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)
            await admin.execute(change, tenant)
            async with asyncio.timeout(2):
                await heard.wait()
    finally:
        watching.cancel()


async def test_an_edit_that_changes_nothing_else_tells_nothing(
    admin: Pool, writer: Pool, tenant: UUID
) -> None:
    """New series, and a limit set to what it was, wake nobody."""
    heard = asyncio.Event()
    watching = asyncio.create_task(ChangesOfDefinitions(writer, heard.set).run())
    try:
        await SeriesDictionary(writer).resolve([series(tenant, "m")])
        await limit_series(admin, "acme", None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await heard.wait()
    finally:
        watching.cancel()


def test_limits_by_command(database: str) -> None:
    """A person limits a tenant and sees who has the most series."""

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words],
            env={**os.environ, "HEADRACE_DATABASE": database},
            capture_output=True,
            text=True,
            check=False,
        )

    run("tenants", "create", "acme")
    limited = json.loads(run("tenants", "limit", "acme", "--max-series", "5", "--json").stdout)
    assert limited == {"tenant": "acme", "series": 0, "max_series": 5}
    assert "the limit of the settings" in run("tenants", "limit", "acme").stdout
    assert run("tenants", "limit", "nobody").returncode == 1
    found = json.loads(run("storage", "cardinality", "--json").stdout)
    assert found["tenants"] == [{"tenant": "acme", "series": 0, "max_series": None}]
    assert "no rejections" in run("storage", "cardinality").stdout
