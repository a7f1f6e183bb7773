"""The read API over a real database that is slow, away or old."""

import httpx
import pytest
from prometheus_client import CollectorRegistry

from query.api import create_api
from query.database import QUERIES, TenantDatabase
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring
from sinks.migrate import migrate
from tests.outages import database_away
from tests.sites import Site, at, serving


async def test_every_named_query_is_valid_sql_for_the_reader(site: Site) -> None:
    """Each query can be prepared by the role that runs it."""
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE headrace_reader")
        for query in QUERIES.values():
            await connection.prepare(query)


async def test_a_slow_query_is_cut_off(database: str) -> None:
    """A statement over its time is 504 with advice, and the connection serves the next request."""
    async with serving(database, statement_timeout=0.2) as site:
        await site.store("acme", "up", {}, (at(1), 1))
        async with site.admin.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
            answer = await site.get("/api/v1/metrics", name="up")
        assert answer.status_code == 504
        assert "shorter" in answer.json()["detail"]
        assert (await site.get("/api/v1/metrics/names")).json()["names"] == ["up"]


async def test_an_outage_is_503_and_passes(postgres: str, database: str, site: Site) -> None:
    """Without its database the API is alive, not ready, and answers 503; then all is well again."""
    assert (await site.get("/readyz")).status_code == 200
    assert (await site.get("/api/v1/metrics/names")).status_code == 200
    with database_away(postgres, database):
        assert (await site.get("/healthz")).status_code == 200
        for path in ("/readyz", "/api/v1/metrics/names"):
            answer = await site.get(path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
    assert (await site.get("/readyz")).status_code == 200
    assert (await site.get("/api/v1/metrics/names")).status_code == 200


@pytest.mark.parametrize("version", [None, "0023"])
async def test_a_database_that_was_not_migrated_far_enough_is_not_ready(
    postgres: str, database: str, version: str | None
) -> None:
    """Readiness says what to run; 0023 is the last version without all that queries read."""
    if version:
        migrate(database, to=version)
    async with await connect_pool(
        database if version else postgres, role=None, application="test"
    ) as pool:
        api = create_api(DatabaseKeyring(pool), TenantDatabase(pool), registry=CollectorRegistry())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(api), base_url="http://a"
        ) as client:
            answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "headrace migrate" in answer.json()["detail"]


async def test_requests_are_counted_by_route(site: Site) -> None:
    """Metrics carry the route's template, never the path that was asked for."""
    await site.get("/api/v1/metrics/latest/some-name")
    await site.get("/api/v1/scan/me")
    text = (await site.get("/metrics")).text
    assert (
        'http_requests_total{method="GET",route="/api/v1/metrics/latest/{name:metric_name}",status="200"} 1.0'
        in text
    )
    assert 'route="unmatched",status="404"' in text
    assert (
        'http_request_duration_seconds_count{method="GET",route="/api/v1/metrics/latest/{name:metric_name}"} 1.0'
        in text
    )
    assert "http_request_duration_seconds_bucket" in text
    assert "http_requests_in_progress 1.0" in text
    assert "some-name" not in text
