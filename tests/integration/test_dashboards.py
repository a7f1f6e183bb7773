"""Series of load tests, as dashboards show them, over a real database, compared with the points that the runs were made of."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

from query.k6 import readings
from query.k6.shown import SERIES, Which
from query.representations import ARROW, CSV
from tests.load_tests import LoadTest, Point, made_up, store
from tests.sites import NOW, Site

SHARES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
SECONDS = 90
BEGAN = NOW - timedelta(hours=1)
NIGHT = timedelta(days=1)


async def shown(site: Site, which: str, **parameters: Any) -> dict[str, Any]:
    """A series as JSON."""
    answer = await site.get(f"/api/v1/k6/series/{which}", **parameters)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def by_time(answer: dict[str, Any]) -> dict[datetime, dict[str, float]]:
    """Values of a series by the time of the point."""
    return {datetime.fromisoformat(one["timestamp"]): one["values"] for one in answer["points"]}


def within(points: Sequence[Point], at: datetime, step: timedelta) -> "np.ndarray[Any, Any]":
    """What the points of an interval measured."""
    return np.array([one.value for one in points if at <= one.at < at + step])


@pytest.mark.parametrize("filters", [{}, {"endpoint": "/b"}, {"domain": "shop"}, {"status": "500"}])
async def test_intervals_are_those_of_the_points(site: Site, filters: dict[str, str]) -> None:
    """Counts, means and extremes are the points' own; percentiles are exact from one row, else within 1 %."""
    run = made_up(BEGAN, SECONDS)
    await store(site, "acme", run)
    for seconds in (1, 10, 60):
        await check_intervals(site, run, filters, seconds)


async def check_intervals(site: Site, run: LoadTest, filters: dict[str, str], seconds: int) -> None:
    """Compare each series with the points."""
    asked = {**filters, "interval": f"{seconds}s"}
    labels = {"name" if key == "endpoint" else key: value for key, value in filters.items()}
    durations = run.matching("http_req_duration", **labels)
    step = timedelta(seconds=seconds)

    answer = await shown(site, "response-time", **asked)
    assert answer["source"] == ("bucket" if filters else "total")
    assert answer["interval_seconds"] == seconds
    exact = seconds == 1 and not filters
    assert (answer["exact"], answer["relative_error"]) == ((True, None) if exact else (False, 0.01))
    found = by_time(answer)
    assert sum(point["n"] for point in answer["points"]) == len(durations)
    for at, values in found.items():
        true = within(durations, at, step)
        assert values["avg"] == pytest.approx(true.mean(), rel=1e-12)
        assert (values["min"], values["max"]) == (true.min(), true.max())
        for name, share in SHARES.items():
            error = 1e-9 if exact else 0.01 + 1e-9
            assert values[name] == pytest.approx(np.percentile(true, share), rel=error), (at, name)

    rates = by_time(await shown(site, "request-rate", **asked))
    errors = by_time(await shown(site, "error-rate", **asked))
    phases = by_time(await shown(site, "timings", **asked))
    statuses = by_time(await shown(site, "status-codes", **asked))
    for at in found:
        covered = min(seconds, (BEGAN + timedelta(seconds=SECONDS) - at).total_seconds())
        requests = within(run.matching("http_reqs", **labels), at, step)
        failed = within(run.matching("http_req_failed", **labels), at, step)
        assert rates[at] == {"rate": requests.sum() / covered, "count": requests.sum()}
        assert errors[at] == {"share": failed.mean(), "failed": failed.sum()}
        waited = within(run.matching("http_req_waiting", **labels), at, step)
        assert phases[at]["waiting"] == pytest.approx(waited.mean(), rel=1e-12)
        assert phases[at]["blocked"] is None
        for status, rate in statuses[at].items():
            of = within(run.matching("http_reqs", **{**labels, "status": status}), at, step)
            if filters.get("status", status) == status:
                assert rate == of.sum() / covered


async def test_what_has_no_endpoint_is_shown_for_the_whole_run_only(site: Site) -> None:
    """VUs, iterations, checks and data by interval; by endpoint they are empty, and the answer says why."""
    run = made_up(BEGAN, SECONDS)
    await store(site, "acme", run)
    users = by_time(await shown(site, "vus", interval="10s"))
    checks = by_time(await shown(site, "checks", interval="10s"))
    iterations = by_time(await shown(site, "iterations", interval="10s"))
    data = by_time(await shown(site, "data", interval="10s"))
    assert len(users) == SECONDS / 10
    for at in users:
        assert users[at] == {"avg": 3, "max": 5}
        made = within(run.matching("checks"), at, timedelta(seconds=10))
        assert checks[at] == {
            "share": made.mean(),
            "passed": made.sum(),
            "failed": len(made) - made.sum(),
        }
        assert iterations[at] == {"rate": 1, "count": 10}
        assert data[at] == {"sent": 100, "received": None}
    for which in ("vus", "iterations", "checks", "data"):
        answer = await shown(site, which, endpoint="/b")
        assert answer["points"] == []
        assert "by endpoint" in answer["reason"]


async def test_runs_at_the_same_time_are_taken_together(site: Site) -> None:
    """Requests and VUs add up, percentiles are those of both, and a rate counts the time once."""
    one, two = made_up(BEGAN, SECONDS), made_up(BEGAN, SECONDS, seed=2, test="search")
    await store(site, "acme", one)
    await store(site, "acme", two)
    span = {"start": BEGAN.isoformat(), "end": (BEGAN + timedelta(hours=1)).isoformat()}
    durations = np.concatenate([run.values("http_req_duration") for run in (one, two)])
    answer = await shown(site, "response-time", interval="1h", **span)
    (values,) = by_time(answer).values()
    assert (answer["runs"], answer["execution_id"]) == (2, None)
    for name, share in SHARES.items():
        assert values[name] == pytest.approx(np.percentile(durations, share), rel=0.0101)
    (requests,) = by_time(await shown(site, "request-rate", interval="1h", **span)).values()
    assert requests["rate"] == pytest.approx(len(durations) / SECONDS)
    (users,) = by_time(await shown(site, "vus", interval="1h", **span)).values()
    assert users == {"avg": 6, "max": 10}
    assert (await shown(site, "vus", test="search", **span))["runs"] == 1


async def test_a_range_over_twelve_hours_has_a_point_a_run(site: Site) -> None:
    """At twelve hours seconds are read, a second more and it is summaries, where the runs began."""
    nights = [made_up(BEGAN - n * NIGHT, 20, seed=n) for n in range(3)]
    for run in nights:
        await store(site, "acme", run)
    end = BEGAN + timedelta(hours=1)
    twelve = await shown(
        site, "response-time", start=(end - timedelta(hours=12)).isoformat(), end=end.isoformat()
    )
    assert (twelve["source"], twelve["runs"]) == ("total", 1)
    more = await shown(
        site,
        "response-time",
        start=(end - timedelta(hours=12, seconds=1)).isoformat(),
        end=end.isoformat(),
    )
    assert (more["source"], more["interval_seconds"]) == ("summary", None)

    days = {"start": (BEGAN - 5 * NIGHT).isoformat(), "end": end.isoformat()}
    answer = await shown(site, "response-time", **days)
    assert answer["exact"]
    assert [one["execution_id"] for one in answer["points"]] == [
        str(run.execution_id) for run in reversed(nights)
    ]
    found = by_time(answer)
    for which in get_args(Which):
        assert len((await shown(site, which, **days))["points"]) == 3, which
    by_endpoint = await shown(site, "response-time", domain="shop", **days)
    assert (by_endpoint["source"], by_endpoint["relative_error"]) == ("endpoint", 0.01)
    statuses = by_time(await shown(site, "status-codes", **days))
    for run in nights:
        true = run.values("http_req_duration")
        shop = run.values("http_req_duration", domain="shop")
        for name, share in SHARES.items():
            assert found[run.started_at][name] == pytest.approx(np.percentile(true, share))
            assert by_time(by_endpoint)[run.started_at][name] == pytest.approx(
                np.percentile(shop, share), rel=0.0101
            )
        failed = len(run.matching("http_reqs", status="500"))
        assert statuses[run.started_at].get("500", 0) == pytest.approx(failed / 20)


async def test_few_points_keep_the_shape(site: Site) -> None:
    """`max_points` widens intervals; of intervals that were asked for it keeps the extremes."""
    run = made_up(BEGAN, SECONDS)
    await store(site, "acme", run)
    wide = await shown(site, "request-rate", max_points=10)
    assert (wide["interval_seconds"], len(wide["points"])) == (15, 6)
    every = by_time(await shown(site, "request-rate", interval="1s"))
    few = by_time(await shown(site, "request-rate", interval="1s", max_points=12))
    assert len(few) <= 12
    assert few.items() <= every.items()
    assert max(one["rate"] for one in few.values()) == max(one["rate"] for one in every.values())


async def test_runs_from_before_sketches_say_what_is_missing(site: Site) -> None:
    """Without totals the seconds of endpoints are summed; percentiles of several rows are null, and why."""
    run = made_up(BEGAN, 30)
    await store(site, "acme", run, sketched=False)
    rates = await shown(site, "request-rate", interval="10s")
    assert rates["source"] == "bucket"
    assert sum(one["values"]["count"] for one in rates["points"]) == len(run.matching("http_reqs"))
    times = await shown(site, "response-time", interval="10s")
    assert all(one["values"]["p95"] is None for one in times["points"])
    assert all(one["values"]["avg"] for one in times["points"])
    assert "sketches" in times["reason"]
    assert (await shown(site, "vus", interval="10s"))["points"][0]["values"]["max"] == 5
    stats = (await site.get("/api/v1/k6/stats")).json()["stats"][0]
    assert stats["p95_ms"] == pytest.approx(np.percentile(run.values("http_req_duration"), 95))
    full = (await site.get(f"/api/v1/k6/executions/{run.execution_id}/stats")).json()
    assert full["peak"]["rps"] > 0
    table = (await site.get("/api/v1/k6/tables/requests")).json()
    assert any(row["p95"] is None for row in table["endpoints"])
    assert "sketches" in table["reason"]


async def test_more_than_can_be_merged_is_refused_or_left_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many sketches: percentiles are null, and the answer says why. Too many seconds: 422."""
    for n in range(2):
        await store(site, "acme", made_up(BEGAN - n * NIGHT, 20, seed=n))
    days = {"start": (BEGAN - 2 * NIGHT).isoformat()}
    monkeypatch.setattr(readings, "MOST_SKETCHES", 3)
    table = (await site.get("/api/v1/k6/tables/requests", **days)).json()
    series = await shown(site, "response-time", domain="shop", **days)
    for answer, rows in ((table, table["endpoints"]), (series, series["points"])):
        found = [row.get("values", row) for row in rows]
        assert all(one["p95"] is None and one["avg"] > 0 for one in found)
        assert "sketches" in answer["reason"]
    monkeypatch.setattr(readings, "MOST_SECONDS", 19)
    answer = (await site.get("/api/v1/k6/series/vus")).json()
    assert answer["errors"][0]["field"] == "query.start"


async def test_runs_without_points_and_those_of_others_show_nothing(site: Site) -> None:
    """A run that produced nothing, one that goes on, no run at all, and another tenant's."""
    await store(site, "other", made_up(BEGAN, 10))
    paths = [
        "stats",
        "tables/requests",
        "tables/errors",
        "domains",
        "checks",
        "thresholds",
        "overview",
    ]
    paths += [f"series/{which}" for which in SERIES]
    before = {path: (await site.get(f"/api/v1/k6/{path}")).json() for path in paths}
    for path, answer in before.items():
        rows = [value for value in answer.values() if isinstance(value, list)]
        assert not any(rows) or rows == [answer.get("columns"), []], path
    empty = LoadTest(BEGAN, 10)
    await store(site, "acme", empty)
    await store(site, "acme", LoadTest(BEGAN, 10, state="running", verdict=None))
    for path in paths:
        for more in ({}, {"start": (BEGAN - NIGHT).isoformat()}):
            if path != "overview" or not more:
                assert (await site.get(f"/api/v1/k6/{path}", **more)).status_code == 200, path
    cards = (await site.get("/api/v1/k6/stats")).json()["stats"][0]
    assert (cards["requests"], cards["p95_ms"]) == (None, None)
    answer = await site.get(f"/api/v1/k6/executions/{empty.execution_id}/stats")
    assert (answer.json()["peak"], answer.json()["metrics"]) == (None, [])


async def test_an_answer_comes_in_three_forms_with_one_tag_each(site: Site) -> None:
    """CSV and Arrow carry the rows of JSON; a tag is good until a run changes, and is not asked the data."""
    run = made_up(BEGAN, 20)
    await store(site, "acme", run)
    headers = {"X-API-Key": site.keys["acme"]}
    for path, rows in (
        ("series/response-time", "points"),
        ("tables/requests", "endpoints"),
        ("overview", "tests"),
    ):
        url = f"/api/v1/k6/{path}"
        plain = await site.client.get(url, headers=headers)
        table = pa.ipc.open_stream(
            (await site.client.get(url, headers={**headers, "Accept": ARROW})).content
        ).read_all()
        text = await site.client.get(url, headers={**headers, "Accept": CSV})
        found = plain.json()[rows]
        assert table.num_rows == len(found) == len(text.text.splitlines()) - 1
        p95 = [row.get("values", row).get("p95") for row in found]
        if "p95" in table.column_names:
            assert table["p95"].to_pylist() == p95
        tagged = {**headers, "If-None-Match": plain.headers["etag"]}
        assert (await site.client.get(url, headers=tagged)).status_code == 304
    await site.admin.execute("UPDATE runs SET verdict = 'failed'")
    assert (await site.client.get("/api/v1/k6/stats", headers=tagged)).status_code == 200
    assert (await site.client.get("/api/v1/k6/overview", headers=tagged)).status_code == 200


async def test_what_makes_no_sense_is_refused_by_name(site: Site) -> None:
    """422 with the parameter that is wrong."""
    run = replace(made_up(NOW - timedelta(hours=11), 5), seconds=10 * 3600)
    await store(site, "acme", run)
    twisted = {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}
    for path, parameters, field in (
        ("series/vus", twisted, "start"),
        ("series/vus", {"interval": "1s", "start": "2026-06-01T00:00:00Z"}, "interval"),
        ("series/vus", {"intervall": "10s"}, "intervall"),
        ("series/nothing", {}, "which"),
        ("stats", {"tag": "no colon"}, "tag"),
        ("tables/requests", {"sort": "size"}, "sort"),
        ("tables/errors", {"cursor": "x"}, "cursor"),
    ):
        answer = await site.get(f"/api/v1/k6/{path}", **parameters)
        assert answer.status_code == 422, path
        assert answer.json()["errors"][0]["field"].endswith(f".{field}")
