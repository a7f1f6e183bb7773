"""The read API over a real database: what it answers."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import uuid4

import httpx
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from query import cursors
from query.api import create_api
from query.database import QUERIES, TenantDatabase
from query.pages import Position
from query.parameters import EARLIEST, LATEST
from query.windows import MOST_ROWS
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring
from sinks.migrate import migrate
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


async def test_writes_move_no_page(site: Site) -> None:
    """Samples that come between two pages, also at the very time of the last one: none is shown twice or lost."""
    moment = at(5)
    first = [7.0, 3.0, 3.0, True, "b", "a"]
    await site.store("acme", "up", {}, *((moment, value) for value in first))
    seen: list[object] = []
    cursor: dict[str, str] = {}
    late = iter([1.0, 3.0, False, "aa", 99.0, "zz"])
    while True:
        page = (await site.get("/api/v1/metrics", name="up", limit=1, **cursor)).json()
        seen += [sample["value"] for sample in page["samples"]]
        for value in (next(late, None), next(late, None)):
            if value is not None:
                await site.store("acme", "up", {}, (moment, value), (at(1), value))
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    for value in (3.0, 7.0, True, "a", "b"):
        assert seen.count(value) >= first.count(value)
    everything = [*first, 1.0, 3.0, False, "aa", 99.0, "zz"]
    assert all(seen.count(value) <= everything.count(value) for value in seen)
    assert [value for value in seen if type(value) is float] == sorted(
        value for value in seen if type(value) is float
    )


async def test_a_crowd_at_one_time_is_paged_through(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More samples of a series at one time than a window may hold."""
    monkeypatch.setattr("query.windows.MOST_ROWS", 5)
    await site.store(
        "acme", "up", {}, *((at(5), float(number)) for number in range(30)), (at(6), 99)
    )
    seen: list[float] = []
    cursor: dict[str, str] = {}
    while not seen or cursor:
        page = (await site.get("/api/v1/metrics", name="up", limit=7, **cursor)).json()
        seen += [sample["value"] for sample in page["samples"]]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
    assert seen == [*map(float, range(30)), 99]


async def test_a_forged_cursor_is_no_error_of_ours(site: Site) -> None:
    """One of another level than the route reads, and one far off, move within the tenant's own samples."""
    await site.store("acme", "up", {}, (at(2), 2), (at(1), 1))
    for level in ("raw", "1m", "1h"):
        position = Position(level, EARLIEST, LATEST, LATEST, 2**63 - 1, 0.5, None, None, 2**31 - 1)
        for path, agg in (("/api/v1/metrics", []), ("/api/v1/data/points", ["5m"])):
            cursor = cursors.encode(position, "up", [], [], None, None, *agg)
            more = {"agg": agg[0]} if agg else {}
            answer = await site.get(path, name="up", cursor=cursor, **more)
            assert answer.status_code == 200, answer.text


async def test_latest_finds_each_series_however_old(site: Site) -> None:
    """A fresh series, one of last month and one of a clock that runs ahead are all found."""
    await site.store("acme", "disk/free space", {"host": "a"}, (at(9), 1), (at(1), 2))
    await site.store("acme", "disk/free space", {"host": "b"}, (at(40_000), 3))
    await site.store("acme", "disk/free space", {"host": "c"}, (at(1), 4), (at(-5), 5))
    answer = await site.get("/api/v1/metrics/latest/disk%2Ffree%20space")
    assert [s["value"] for s in answer.json()["series"]] == [2, 3, 5]
    unknown = await site.get("/api/v1/metrics/latest/unknown")
    assert (unknown.status_code, unknown.json()["series"]) == (200, [])


async def test_matchers_narrow_every_route(site: Site) -> None:
    """Equal or not, by text or by expression, with `label` beside them."""
    for host, zone in (("web-1", "eu"), ("web-2", "us"), ("db", "eu")):
        await site.store("acme", "up", {"host": host, "zone": zone}, (at(1), len(host)))
    await site.store("acme", "up", {}, (at(1), 0))
    for match, hosts in (
        (["host=~web.*"], {"web-1", "web-2"}),
        (["host=~web.*", "zone!=us"], {"web-1"}),
        (["host!~web.*"], {"db", ""}),
        (["host!="], {"web-1", "web-2", "db"}),
        (["host="], {""}),
        (["host=db", "host=web-1"], set()),
    ):
        for path, rows in (
            ("/api/v1/metrics?name=up", "samples"),
            ("/api/v1/metrics/latest/up", "series"),
            ("/api/v1/data/points?name=up", "points"),
            ("/api/v1/data/points?name=up&agg=1m", "points"),
            ("/api/v1/metrics/series/up?by=host", "groups"),
            ("/api/v1/metrics/aggregate/up?by=host", "groups"),
        ):
            url = httpx.URL(path)
            answer = (await site.get(url.path, **url.params, match=match)).json()
            assert {row["labels"].get("host", "") for row in answer[rows]} == hosts, (path, match)
    both = await site.get("/api/v1/metrics", name="up", label="zone:eu", match="host=~.*-.")
    assert [sample["labels"]["host"] for sample in both.json()["samples"]] == ["web-1"]
    clash = await site.get("/api/v1/metrics", name="up", label="host:db", match="host=web-1")
    assert clash.json()["samples"] == []


async def test_too_many_series_are_the_callers_to_narrow(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """422 that names the parameter, whether series, matched series, groups, points or rows are too many."""
    for host in range(4):
        await site.store("acme", "up", {"host": str(host)}, *((at(m), m) for m in range(1, 50)))
    for limit, parameters, field in (
        ("query.subject.MAX_SERIES", {}, "label"),
        ("query.subject.MAX_SERIES", {"match": "host=~.*"}, "match"),
        ("query.subject.MAX_MATCHED", {"match": "host=~.*"}, "label"),
        ("query.series.MAX_GROUPS", {"by": "host"}, "by"),
        ("query.parameters.MAX_POINTS", {}, "by"),
        ("query.aggregates.MOST_RAW", {"agg": "p95"}, "start"),
        ("query.aggregates.MOST_RAW", {"bucket": "30s"}, "start"),
        ("query.aggregates._MOST_ROLLED", {"bucket": "5m"}, "start"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(limit, 3)
            answer = await site.get("/api/v1/metrics/series/up", **parameters)
        assert answer.status_code == 422, (limit, answer.text)
        assert [error["field"] for error in answer.json()["errors"]] == [f"query.{field}"], limit
    assert (await site.get("/api/v1/metrics/series/up")).status_code == 200


async def test_rollups_of_booleans_and_text_are_refused(site: Site) -> None:
    """400 for agg other than raw, however old the samples; mixed metrics give their numbers."""
    await site.store("acme", "ok", {}, (at(90), True), (at(1), False))
    await site.store("acme", "state", {}, (at(50_000), "fine"))
    await site.store("acme", "mixed", {}, (at(2), 5), (at(1), "fine"))
    for name, kind in (("ok", "booleans"), ("state", "text")):
        for agg in ("1m", "5m", "1h"):
            answer = await site.get("/api/v1/data/points", name=name, agg=agg)
            assert answer.status_code == 400
            assert kind in answer.json()["detail"]
        assert (await site.get("/api/v1/data/points", name=name)).status_code == 200
    mixed = (await site.get("/api/v1/data/points", name="mixed", agg="1m")).json()
    assert [point["value"] for point in mixed["points"]] == [5]
    old = await site.get("/api/v1/data/points", name="state", start=at(60_000).isoformat())
    assert [point["value"] for point in old.json()["points"]] == ["fine"]
    assert (old.json()["source"], old.json()["degraded_to"]) == ("raw", "raw")
    nothing = await site.get("/api/v1/data/points", name="unknown", agg="1h")
    assert (nothing.status_code, nothing.json()["points"]) == (200, [])


async def test_points_of_a_rollup_tell_all_of_a_bucket(site: Site) -> None:
    """Average, least, greatest, sum and count of each series' bucket, whose begin lies in the range."""
    await site.store("acme", "load", {"host": "a"}, (at(7), 1), (at(6.5), 2), (at(6), 6))
    await site.store("acme", "load", {"host": "b"}, (at(7), 10))
    answer = (await site.get("/api/v1/data/points", name="load", agg="5m")).json()
    assert [
        (p["labels"]["host"], p["value"], p["min"], p["max"], p["sum"], p["n"])
        for p in answer["points"]
    ] == [("b", 10, 10, 10, 10, 1), ("a", 3, 1, 6, 9, 3)]
    assert {p["timestamp"] for p in answer["points"]} == {"2026-06-01T11:50:00Z"}
    assert (answer["agg"], answer["source"], answer["degraded_from"]) == ("5m", "5m", None)


async def test_a_definition_decides_what_a_series_is(site: Site) -> None:
    """Its aggregation is the default; unit, display name and type come with the answer."""
    await site.store(
        "acme", "requests", {}, *((at(9 - m), v) for m, v in enumerate((10, 70, 10, 40)))
    )
    await site.admin.execute(
        "INSERT INTO definitions (tenant_id, name, type, aggregation, unit, display_name) "
        "VALUES ($1, 'requests', 'counter', 'rate', '1/s', 'Requests')",
        site.tenants["acme"],
    )
    answer = (await site.get("/api/v1/metrics/series/requests")).json()
    assert (answer["agg"], answer["unit"], answer["display_name"], answer["type"]) == (
        "rate",
        "1/s",
        "Requests",
        "counter",
    )
    assert [point["value"] for point in answer["points"]] == pytest.approx([1, 10 / 60, 0.5])
    own = (await site.get("/api/v1/metrics/series/requests", "other")).json()
    assert (own["agg"], own["unit"], own["points"]) == ("avg", None, [])


async def test_a_bucket_in_progress_has_its_rate_already(site: Site) -> None:
    """What has passed of it counts, not what is to come: a chart does not fall at its right edge."""
    await site.store("acme", "requests", {}, *((at(m), 1000 - 6.0 * m) for m in range(70, -1, -1)))
    asked = {
        "agg": "rate",
        "bucket": "50m",
        "start": at(40).isoformat(),
        "end": at(-40).isoformat(),
    }
    points = (await site.get("/api/v1/metrics/series/requests", **asked)).json()["points"]
    assert [point["value"] for point in points] == pytest.approx([0.1, 0.1], rel=0.05)


async def test_charts_are_filled_and_thinned(site: Site) -> None:
    """`fill` gives every bucket a point; `max_points` keeps the peak."""
    await site.store(
        "acme", "load", {}, *((at(m), 99.5 if m == 33 else m % 3) for m in range(1, 60, 2))
    )
    filled = (await site.get("/api/v1/metrics/series/load", fill="null")).json()
    assert len(filled["points"]) == 60
    assert sum(point["value"] is None for point in filled["points"]) == 30
    thinned = (await site.get("/api/v1/metrics/series/load", max_points=8)).json()["points"]
    assert len(thinned) <= 8
    assert max(point["value"] for point in thinned) == 99.5


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/metrics?name=load",
        "/api/v1/metrics/latest/load",
        "/api/v1/metrics/series/load",
        "/api/v1/metrics/series/load?by=host",
        "/api/v1/metrics/aggregate/load?by=host",
        "/api/v1/data/points?name=load",
        "/api/v1/data/points?name=load&agg=1m",
    ],
)
async def test_every_table_comes_as_csv_and_arrow(site: Site, path: str) -> None:
    """The same rows in each form; and 304 for who has them, until something is stored."""
    await site.store("acme", "load", {"host": "a"}, (at(2), 1), (at(1), 2))
    key = {"X-API-Key": site.keys["acme"]}
    csv = await site.client.get(path, headers={**key, "Accept": "text/csv"})
    assert csv.status_code == 200
    arrow = await site.client.get(
        path, headers={**key, "Accept": "application/vnd.apache.arrow.stream"}
    )
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert len(csv.text.splitlines()) == table.num_rows + 1
    assert table.num_rows in {1, 2}
    first = await site.client.get(path, headers=key)
    again = await site.client.get(path, headers={**key, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await site.store("acme", "load", {"host": "a"}, (at(0.5), 3))
    fresh = await site.client.get(path, headers={**key, "If-None-Match": first.headers["etag"]})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != first.headers["etag"]


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
