"""Who sees what through the read API, and what nobody gets it to do."""

import contextlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from query.database import QUERIES, TenantDatabase
from schemas.errors import Invalid, Temporary
from sinks.keys import Tenants
from tests.sites import Site, at, store_run

UNKNOWN = "0197a5c0-7d2e-7cc3-98c5-6a1b2f3d4e5f"


async def test_nothing_of_another_tenant_is_visible(site: Site) -> None:
    """Each route shows tenant B nothing of tenant A: no row, no name, no hint that it is there."""
    execution = uuid4()
    await site.store("acme", "s3cret", {"hidden": "s3cret-label"}, (at(1), 7777.5))
    await store_run(site, "acme", execution)
    own = await site.get("/api/v1/metrics", name="s3cret", limit=1)
    assert own.json()["samples"][0]["value"] == 7777.5
    for path, parameters in [
        ("/api/v1/metrics", {"name": "s3cret"}),
        ("/api/v1/metrics", {"name": "s3cret", "label": "hidden:s3cret-label"}),
        ("/api/v1/metrics/names", {}),
        ("/api/v1/metrics/names", {"prefix": "s3c"}),
        ("/api/v1/metrics/latest/s3cret", {}),
        *(("/api/v1/metrics/series/s3cret", {"agg": agg}) for agg in ("avg", "count", "p95")),
        ("/api/v1/runs", {}),
        ("/api/v1/runs", {"test": "basic"}),
    ]:
        answer = await site.get(path, "other", **parameters)
        assert answer.status_code == 200
        assert "7777" not in answer.text
        lists = [value for value in answer.json().values() if isinstance(value, list)]
        assert lists, path
        assert not any(lists), path
    for path in (f"/api/v1/runs/{execution}", f"/api/v1/runs/{execution}/summary"):
        assert (await site.get(path, "other")).status_code == 404
        assert (await site.get(path, "acme")).status_code == 200


async def test_without_a_good_key_nobody_reads(site: Site) -> None:
    """No key and a bad key are 401, a key for other things is 403; a bearer token is as good."""
    ingest = await Tenants(site.admin).create_key("acme", ["ingest", "admin"])
    good = site.keys["acme"]
    for headers, status in [
        ({}, 401),
        ({"X-API-Key": "hr_wrong"}, 401),
        ({"Authorization": "Basic eA=="}, 401),
        ({"X-API-Key": ingest}, 403),
        ({"Authorization": f"Bearer {good}"}, 200),
    ]:
        answer = await site.client.get("/api/v1/metrics/names", headers=headers)
        assert answer.status_code == status
        if status != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
        assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("tenant", [None, "", "nonsense", "'; SELECT 1; --", UNKNOWN])
async def test_a_transaction_without_a_tenant_sees_nothing(site: Site, tenant: str | None) -> None:
    """Unset, empty, malformed or unknown: each view is empty for the reader."""
    await site.store("acme", "up", {}, (at(1), 1))
    await store_run(site, "acme", uuid4())
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE headrace_reader")
        if tenant is not None:
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)
        for view in ("series", "samples", "runs", "k6_aggregates", "run_ledger"):
            assert await connection.fetchval(f"SELECT count(*) FROM {view}_tenant") == 0  # noqa: S608 - literals


async def test_the_reader_may_read_views_only(site: Site) -> None:
    """The role has no right on any table, partition or sequence, save the storage mode."""
    await site.store("acme", "up", {}, (at(1), 1))
    readable = await site.admin.fetch(
        "SELECT relname, relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = 'public' AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND "
        "(has_table_privilege('headrace_reader', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') "
        "OR (relkind <> 'S' AND has_any_column_privilege('headrace_reader', c.oid, 'SELECT')))"
    )
    assert {name for name, kind in readable if kind != "v"} == {"storage"}
    assert all(name.endswith("_tenant") for name, kind in readable if kind == "v")
    barriers = await site.admin.fetch(
        "SELECT relname FROM pg_class WHERE relname LIKE '%\\_tenant' AND relkind = 'v' "
        "AND NOT coalesce('security_barrier=true' = ANY(reloptions) OR 'security_barrier' = ANY(reloptions), false)"
    )
    assert barriers == []


async def test_a_pooled_connection_forgets_its_tenant(site: Site, database: str) -> None:
    """After an answer, an error of ours and an error of the database, a connection is nobody's.

    It is so without the pool's help, as behind a pooler that resets nothing.
    """
    await site.store("acme", "up", {}, (at(1), 1))
    acme, other = site.tenants["acme"], site.tenants["other"]

    async def reset_nothing(_: asyncpg.Connection) -> None:
        pass

    async with asyncpg.create_pool(
        database,
        min_size=1,
        max_size=1,
        reset=reset_nothing,
        server_settings={"role": "headrace_reader"},
    ) as pool:
        reads = TenantDatabase(pool)

        async def nobodys() -> bool:
            rows = await pool.fetchval("SELECT count(*) FROM samples_tenant")
            async with reads.reading(other) as reading:
                rows += len(await reading.rows("catalog_names", "", None, 10))
            return not rows and not await pool.fetchval("SELECT current_setting('app.tenant_id')")

        async with reads.reading(acme) as reading:
            assert len(await reading.rows("catalog_names", "", None, 10)) == 1
        assert await nobodys()
        with contextlib.suppress(ZeroDivisionError):
            async with reads.reading(acme):
                _ = 1 / 0
        assert await nobodys()
        with contextlib.suppress(Invalid):
            async with reads.reading(acme) as reading:
                await reading.rows("catalog_names", "\0", None, 10)
        assert await nobodys()


async def test_a_reading_can_not_write(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction is read-only, even where the login could do anything."""
    monkeypatch.setitem(QUERIES, "write", "INSERT INTO tenants (name) VALUES ('intruder')")
    with pytest.raises(Temporary) as refused:
        async with TenantDatabase(site.admin).reading(site.tenants["acme"]) as reading:
            await reading.rows("write")
    assert isinstance(refused.value.__cause__, asyncpg.ReadOnlySQLTransactionError)


ATTACKS = [
    "'; DROP TABLE runs; --",
    "' OR '1'='1",
    '"; --',
    "\\",
    "%",
    "_",
    "$1",
    "1e999",
    "NaN",
    "\0",
    "a" * 5000,
    "\u202e",
    "{}",
    "[]",
    "null",
    "-1",
    "99999999999999999999",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "../../etc/passwd",
    "P1D",
    "999999d",
    "0s",
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_no_parameter_reaches_the_sql(site: Site, attack: str) -> None:
    """Whatever stands in a parameter: refused as 4xx, or an empty answer; all rows stay."""
    await site.store("acme", "up", {}, (at(1), 1))
    routes = {
        "/api/v1/metrics": ["name", "label", "start", "end", "limit", "cursor"],
        "/api/v1/metrics/names": ["prefix", "limit"],
        "/api/v1/metrics/latest/up": ["label"],
        "/api/v1/metrics/series/up": ["label", "start", "end", "bucket", "agg"],
        "/api/v1/runs": ["test", "state", "verdict", "limit", "cursor"],
    }
    for path, names in routes.items():
        for name in names:
            answer = await site.get(path, **{"name": "up", name: attack})
            assert answer.status_code in {200, 422}, (path, name, answer.text)
    for path in ("/api/v1/metrics/latest/", "/api/v1/metrics/series/", "/api/v1/runs/"):
        answer = await site.client.get(
            httpx.URL("http://api" + path).join(httpx.URL(path=path + attack))
            if "\0" not in attack
            else path + "%00",
            headers={"X-API-Key": site.keys["acme"]},
        )
        assert answer.status_code in {200, 404, 422}, (path, answer.text)
    assert await site.admin.fetchval("SELECT count(*) FROM samples") == 1


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["up", "host:a", "5m", "p95", "2026-06-01T11:00:00Z"]
)
NUMBERS = st.integers().map(str) | st.floats().map(str)
MOMENTS = st.datetimes(timezones=st.timezones() | st.just(UTC)).map(datetime.isoformat)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            "name",
            "label",
            "start",
            "end",
            "limit",
            "cursor",
            "prefix",
            "bucket",
            "agg",
            "test",
            "state",
        ]
    ),
    st.lists(TEXTS | NUMBERS | MOMENTS, min_size=1, max_size=3),
)
PATHS = st.sampled_from(
    ["metrics", "metrics/names", "metrics/latest/", "metrics/series/", "runs", "runs/"]
)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=PATHS, rest=st.just("") | TEXTS, parameters=PARAMETERS)
async def test_no_parameters_make_an_error_of_ours(
    site: Site, path: str, rest: str, parameters: dict[str, Any]
) -> None:
    """Any text in any parameter and path: an answer or a 4xx, never a 5xx."""
    path += quote(rest, safe="") if path.endswith("/") else ""
    answer = await site.get(f"/api/v1/{path}", **parameters)
    assert answer.status_code < 500, answer.text
