"""The read API over a real database: what it answers."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import uuid4

import httpx
import pytest
from prometheus_client import CollectorRegistry

from query.api import create_api
from query.database import QUERIES, TenantDatabase
from query.windows import MOST_ROWS
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring
from tests.outages import database_away
from tests.sites import Site, at, serving, store_run


@pytest.fixture
async def site(database: str) -> AsyncIterator[Site]:
    async with serving(database) as site:
        yield site


async def test_every_named_query_is_valid_sql_for_the_reader(site: Site) -> None:
    """Each query can be prepared by the role that runs it."""
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE headrace_reader")
        for query in QUERIES.values():
            await connection.prepare(query)


async def test_samples_come_newest_first_with_their_labels(site: Site) -> None:
    """A page holds numbers, booleans and texts as they were sent, in the default hour."""
    await site.store("acme", "up", {"host": "a"}, (at(70), 0), (at(3), 1.5), (at(1), True))
    await site.store("acme", "up", {"host": "b"}, (at(2), "fine"))
    answer = (await site.get("/api/v1/metrics", name="up")).json()
    assert [(s["timestamp"], s["value"], s["labels"]["host"]) for s in answer["samples"]] == [
        ("2026-06-01T11:59:00Z", True, "a"),
        ("2026-06-01T11:58:00Z", "fine", "b"),
        ("2026-06-01T11:57:00Z", 1.5, "a"),
    ]
    assert (answer["start"], answer["end"]) == ("2026-06-01T11:00:00Z", "2026-06-01T12:00:00Z")
    assert answer["next_cursor"] is None


async def test_start_is_included_and_end_is_not(site: Site) -> None:
    """Ranges that touch share no sample and lose none."""
    await site.store("acme", "up", {}, (at(3), 3), (at(2), 2), (at(1), 1))
    answer = await site.get(
        "/api/v1/metrics", name="up", start=at(3).isoformat(), end=at(1).isoformat()
    )
    assert [s["value"] for s in answer.json()["samples"]] == [2, 3]


async def test_labels_narrow_and_all_must_match(site: Site) -> None:
    """A series needs every label that is asked for; a value may hold a colon."""
    await site.store("acme", "up", {"host": "a:1", "zone": "x"}, (at(1), 1))
    await site.store("acme", "up", {"host": "a:1", "zone": "y"}, (at(1), 2))
    answer = await site.get("/api/v1/metrics", name="up", label=["host:a:1", "zone:y"])
    assert [s["value"] for s in answer.json()["samples"]] == [2]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("most_rows", [4, MOST_ROWS])
async def test_pages_hold_every_sample_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, limit: int, most_rows: int
) -> None:
    """Following the cursor passes all samples, also several of a series at one time, and days apart.

    It is the same where windows of time are crowded and have to be narrowed, down to one tick.
    """
    monkeypatch.setattr("query.windows.MOST_ROWS", most_rows)
    expected = []
    for host in ("a", "b", "c"):
        points = [(at(m), float(n)) for n, m in enumerate((0.5, 0.5, 0.5, 4, 4, 90, 2000, 30_000))]
        await site.store("acme", "up", {"host": host}, *points)
        expected += [(when, host, value) for when, value in points]
    seen, cursor = [], None
    while True:
        page = await site.get(
            "/api/v1/metrics",
            name="up",
            start=at(50_000).isoformat(),
            limit=limit,
            **({"cursor": cursor} if cursor else {}),
        )
        assert page.status_code == 200, page.text
        samples = page.json()["samples"]
        assert len(samples) <= limit
        seen += [
            (datetime.fromisoformat(s["timestamp"]), s["labels"]["host"], s["value"])
            for s in samples
        ]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert [when for when, _, _ in seen] == sorted((when for when, _, _ in seen), reverse=True)
    assert sorted(seen) == sorted(expected)


async def test_a_cursor_belongs_to_its_request(site: Site) -> None:
    """A cursor under other parameters, or made up, is refused."""
    await site.store("acme", "up", {}, (at(2), 2), (at(1), 1))
    cursor = (await site.get("/api/v1/metrics", name="up", limit=1)).json()["next_cursor"]
    for parameters in (
        {"name": "down", "cursor": cursor},
        {"name": "up", "cursor": "AAAA"},
        {"name": "up", "cursor": cursor[:-2]},
        {"name": "up", "cursor": ""},
        {"name": "up", "cursor": "ü"},
    ):
        answer = await site.get("/api/v1/metrics", **parameters)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.cursor"


async def test_names_by_prefix(site: Site) -> None:
    """Names are listed once, sorted, as far as the limit; a prefix is taken literally."""
    for name in ("cpu_usage", "cpu_wait", "cp%", "memory"):
        await site.store("acme", name, {"host": "a"}, (at(1), 1))
    await site.store("acme", "cpu_usage", {"host": "b"}, (at(1), 1))
    names = (await site.get("/api/v1/metrics/names", prefix="cp")).json()
    assert names == {"names": ["cp%", "cpu_usage", "cpu_wait"], "more": False}
    assert (await site.get("/api/v1/metrics/names", prefix="cp%")).json()["names"] == ["cp%"]
    cut = (await site.get("/api/v1/metrics/names", limit=3)).json()
    assert cut == {"names": ["cp%", "cpu_usage", "cpu_wait"], "more": True}


@pytest.mark.parametrize("most_rows", [1, MOST_ROWS])
async def test_latest_finds_each_series_however_old(
    site: Site, monkeypatch: pytest.MonkeyPatch, most_rows: int
) -> None:
    """A fresh series, one of last month and one of a clock that runs ahead are all found."""
    monkeypatch.setattr("query.windows.MOST_ROWS", most_rows)
    await site.store("acme", "disk/free space", {"host": "a"}, (at(9), 1), (at(1), 2))
    await site.store("acme", "disk/free space", {"host": "b"}, (at(40_000), 3))
    await site.store("acme", "disk/free space", {"host": "c"}, (at(1), 4), (at(-5), 5))
    answer = await site.get("/api/v1/metrics/latest/disk%2Ffree%20space")
    assert [s["value"] for s in answer.json()["series"]] == [2, 3, 5]
    unknown = await site.get("/api/v1/metrics/latest/unknown")
    assert (unknown.status_code, unknown.json()["series"]) == (200, [])


@pytest.mark.parametrize(
    ("agg", "values"),
    [
        ("avg", [2, 20]),
        ("min", [1, 20]),
        ("max", [3, 20]),
        ("sum", [6, 20]),
        ("count", [3, 1]),
        ("p50", [2, 20]),
        ("p95", [2.9, 20]),
        ("p99", [2.98, 20]),
    ],
)
async def test_series_in_buckets(site: Site, agg: str, values: list[float]) -> None:
    """Buckets are aligned to the clock, leave gaps out, and take numbers of all series together."""
    await site.store("acme", "load", {"host": "a"}, (at(20), 1), (at(18), 2), (at(2), 20))
    await site.store("acme", "load", {"host": "b"}, (at(17), 3), (at(17), "text"), (at(17), True))
    answer = (await site.get("/api/v1/metrics/series/load", bucket="5m", agg=agg)).json()
    assert [p["timestamp"] for p in answer["points"]] == [
        "2026-06-01T11:40:00Z",
        "2026-06-01T11:55:00Z",
    ]
    assert [p["value"] for p in answer["points"]] == pytest.approx(values)
    assert [p["n"] for p in answer["points"]] == [3, 1]


async def test_a_runs_summary_says_what_k6_says(site: Site) -> None:
    """Totals, rates, percentiles, endpoints, thresholds and the ledger, with k6's figures beside."""
    execution = uuid4()
    await store_run(site, "acme", execution)
    answer = await site.get(f"/api/v1/runs/{execution}/summary")
    summary = answer.json()
    assert answer.status_code == 200
    figures = summary["figures"]
    assert figures["duration_seconds"] == 60
    assert (figures["http_reqs"], figures["http_reqs_per_second"]) == (600, 10)
    assert figures["http_req_failed_rate"] == pytest.approx(0.01)
    assert (figures["checks_passed"], figures["checks_failed"]) == (99, 1)
    assert figures["http_req_duration"] == {
        "n": 600,
        "avg": 12.5,
        "min": 1,
        "max": 30,
        "p50": 12,
        "p90": 18,
        "p95": 20.5,
        "p99": 25,
    }
    assert (figures["iterations"], figures["data_sent_bytes"]) == (300, 4096)
    assert figures["data_received_bytes"] is None
    assert [(e["name"], e["status"], e["n"]) for e in summary["endpoints"]] == [
        ("GET /items", "200", 590),
        ("GET /items", "500", 10),
    ]
    assert summary["thresholds"] == [
        {
            "metric": "http_req_duration",
            "expression": "p(95)<500",
            "observed": 20.5,
            "passed": True,
            "k6_passed": True,
        }
    ]
    assert summary["points"] == {"sent": 900, "stored": 899, "dead_lettered": 1}
    assert summary["runners"][0]["k6"]["http_reqs"] == 600
    assert summary["runners"][0]["k6"]["http_req_duration_p95_ms"] == 20


async def test_the_summary_of_a_running_test_is_accepted_not_done(site: Site) -> None:
    """While the run goes on the answer is 202, with the thresholds that were announced."""
    execution = uuid4()
    await store_run(site, "acme", execution, finished=False)
    answer = await site.get(f"/api/v1/runs/{execution}/summary")
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["figures"]) == ("running", None)
    assert answer.json()["thresholds"][0]["passed"] is None


async def test_runs_are_listed_newest_first_and_filtered(site: Site) -> None:
    """Every run is on one page exactly, and filters hold."""
    executions = [uuid4() for _ in range(5)]
    for number, execution in enumerate(executions):
        await store_run(site, "acme", execution, finished=number % 2 == 0)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await site.get("/api/v1/runs", limit=2, **cursor)).json()
        seen += [run["execution_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(map(str, executions), reverse=True)
    finished = (
        await site.get("/api/v1/runs", state="finished", verdict="passed", test="basic")
    ).json()
    assert len(finished["runs"]) == 3
    assert (await site.get("/api/v1/runs", test="other")).json()["runs"] == []
    one = (await site.get(f"/api/v1/runs/{executions[0]}")).json()
    assert one["runners"][0]["points_sent"] == 900


async def test_a_slow_query_is_cut_off(database: str) -> None:
    """A statement over its time is 504 with advice, and the connection serves the next request."""
    async with serving(database, statement_timeout=0.2) as site:
        await site.store("acme", "up", {}, (at(1), 1))
        async with site.admin.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
            answer = await site.get("/api/v1/metrics/names")
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


async def test_a_database_that_was_not_migrated_is_not_ready(postgres: str) -> None:
    """Readiness says what to run."""
    async with await connect_pool(postgres, role=None, application="test") as pool:
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
        'http_requests_total{method="GET",route="/api/v1/metrics/latest/{name:path}",status="200"} 1.0'
        in text
    )
    assert 'route="unmatched",status="404"' in text
    assert (
        'http_request_duration_seconds_count{method="GET",route="/api/v1/metrics/latest/{name:path}"} 1.0'
        in text
    )
    assert "http_request_duration_seconds_bucket" in text
    assert "http_requests_in_progress 1.0" in text
    assert "some-name" not in text
