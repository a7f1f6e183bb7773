"""Tables and cards of load tests over a real database, compared with the points that the runs were made of."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.load_tests import LoadTest, made_up, store
from tests.sites import NOW, Site

SHARES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
SECONDS = 90
BEGAN = NOW - timedelta(hours=1)
NIGHT = timedelta(days=1)


async def test_tables_are_those_of_the_points(site: Site) -> None:
    """Endpoints and domains over two runs: counts, shares of errors, percentiles; sorted, and paged."""
    runs = [made_up(BEGAN, SECONDS), made_up(BEGAN - NIGHT, SECONDS, seed=2)]
    for run in runs:
        await store(site, "acme", run)
    days = {"start": (BEGAN - 2 * NIGHT).isoformat()}
    answer = (await site.get("/api/v1/k6/tables/requests", sort="p95", order="asc", **days)).json()
    assert [row["name"] for row in answer["endpoints"]] == ["/a", "/b", "/c"]
    domains = (await site.get("/api/v1/k6/domains", **days)).json()["domains"]
    for row, labels in [
        *((row, {"name": row["name"]}) for row in answer["endpoints"]),
        *((row, {"domain": row["domain"]}) for row in domains),
    ]:
        true = np.concatenate([run.values("http_req_duration", **labels) for run in runs])
        failed = np.concatenate([run.values("http_req_failed", **labels) for run in runs])
        assert (row["n"], row["failed"]) == (len(true), failed.sum())
        assert row["error_share"] == failed.mean()
        assert row["rps"] == pytest.approx(len(true) / (2 * SECONDS))
        assert (row["min"], row["max"]) == (true.min(), true.max())
        for name, share in SHARES.items():
            assert row[name] == pytest.approx(np.percentile(true, share), rel=0.0101)

    seen: list[str] = []
    page: dict[str, Any] = {}
    while page.get("next_cursor", "first"):
        more = {"cursor": page["next_cursor"]} if page else {}
        page = (
            await site.get(
                "/api/v1/k6/tables/requests", sort="name", order="desc", limit=2, **days, **more
            )
        ).json()
        seen += [row["name"] for row in page["endpoints"]]
    assert seen == ["/c", "/b", "/a"]

    one = (await site.get("/api/v1/k6/domains/shop", **days)).json()
    shop = next(row for row in domains if row["domain"] == "shop")
    # Added up in another order.
    assert one["figures"] == {**shop, "avg": pytest.approx(shop["avg"])}
    assert {row["name"] for row in one["endpoints"]} == {"/b", "/c"}
    assert (await site.get("/api/v1/k6/domains/nobody", **days)).status_code == 404


async def test_cards_are_those_of_the_points(site: Site) -> None:
    """Of one run, of several, of none; with the peak of the run, its phases and statuses."""
    passed = made_up(BEGAN, SECONDS)
    failed = made_up(BEGAN - NIGHT, SECONDS, seed=2, verdict="failed")
    for run in (passed, failed):
        await store(site, "acme", run)
    await store(
        site, "acme", LoadTest(NOW - timedelta(minutes=5), 0, state="running", verdict=None)
    )

    newest = (await site.get("/api/v1/k6/stats")).json()
    assert newest["execution_id"] == str(passed.execution_id)
    every = (await site.get("/api/v1/k6/stats", start=(BEGAN - 2 * NIGHT).isoformat())).json()
    assert (every["runs"], every["pending"], every["exact"]) == (3, 1, False)
    (cards,) = every["stats"]
    took = np.concatenate([run.values("http_req_duration") for run in (passed, failed)])
    checks = np.concatenate([run.values("checks") for run in (passed, failed)])
    assert cards["requests"] == len(took)
    assert cards["rps"] == pytest.approx(len(took) / (2 * SECONDS))
    assert cards["p95_ms"] == pytest.approx(np.percentile(took, 95), rel=0.0101)
    assert (cards["vus_max"], cards["iterations"]) == (5, 2 * SECONDS)
    assert cards["checks_rate"] == pytest.approx(checks.mean())
    assert (cards["passed"], cards["failed"], cards["unjudged"]) == (1, 1, 1)
    assert (cards["data_sent_bytes"], cards["data_received_bytes"]) == (200 * SECONDS, None)

    answer = await site.get(f"/api/v1/k6/executions/{passed.execution_id}/stats")
    full = answer.json()
    seconds = [one.at.replace(microsecond=0) for one in passed.matching("http_reqs")]
    assert full["peak"]["rps"] == max(seconds.count(second) for second in seconds)
    assert full["statuses"]["500"] == len(passed.matching("http_reqs", status="500"))
    waiting = next(one for one in full["metrics"] if one["metric"] == "http_req_waiting")
    assert waiting["p90"] == pytest.approx(np.percentile(passed.values("http_req_waiting"), 90))
    nothing = (await site.get("/api/v1/k6/stats", test="nobody's")).json()
    assert (nothing["runs"], nothing["stats"]) == (0, [])


async def test_checks_errors_and_thresholds_over_runs(site: Site) -> None:
    """Sums by check and by error with first and last seen; a threshold with its newest and its worst."""
    p95 = {"metric": "http_req_duration", "expression": "p(95)<100", "k6_passed": True}
    runs = [
        made_up(BEGAN - n * NIGHT, 5, thresholds=[{**p95, "observed": seen, "passed": seen < 100}])
        for n, seen in enumerate((90.0, 120.0, 80.0))
    ]
    for n, run in enumerate(runs):
        await store(site, "acme", run)
        await site.admin.execute(
            "INSERT INTO run_checks VALUES ($1, '::shop', 'is 200', 10, $2)", run.execution_id, n
        )
        await site.admin.execute(
            "INSERT INTO run_errors VALUES ($1, '/a', 'GET', '503', '1503', 'busy', $2, $3, $3)",
            run.execution_id,
            n + 1,
            run.started_at,
        )
    days = {"start": (BEGAN - 5 * NIGHT).isoformat()}
    (check,) = (await site.get("/api/v1/k6/checks", **days)).json()["checks"]
    assert (check["passes"], check["fails"], check["runs"], check["failed_runs"]) == (30, 3, 3, 2)
    (error,) = (await site.get("/api/v1/k6/tables/errors", status="503", **days)).json()["errors"]
    assert (error["n"], error["runs"], error["error_code"]) == (6, 3, "1503")
    assert datetime.fromisoformat(error["first_at"]) == runs[2].started_at
    assert datetime.fromisoformat(error["last_at"]) == runs[0].started_at
    (threshold,) = (await site.get("/api/v1/k6/thresholds", **days)).json()["thresholds"]
    assert (threshold["observed"], threshold["passed"]) == (90, True)
    assert (threshold["runs"], threshold["failed_runs"]) == (3, 1)
    assert (threshold["observed_min"], threshold["observed_max"]) == (80, 120)
    assert datetime.fromisoformat(threshold["last_failed_at"]) == runs[1].started_at


async def test_runs_and_tests_are_found_by_what_is_known_of_them(site: Site) -> None:
    """Runs by tag, test and time with their figures; tests by their last run, a page after the other."""
    main = made_up(BEGAN, 10, tags={"branch": "main", "a:b": "c:d"})
    other = made_up(BEGAN - NIGHT, 10, tags={"branch": "other"})
    search = made_up(BEGAN - 2 * NIGHT, 10, test="search", verdict="failed")
    for run in (main, other, search):
        await store(site, "acme", run)

    async def found(**filters: Any) -> list[str]:
        runs = (await site.get("/api/v1/runs", **filters)).json()["runs"]
        return [run["execution_id"] for run in runs]

    assert await found(tag="branch:main") == [str(main.execution_id)]
    assert await found(start=(BEGAN - NIGHT).isoformat(), end=BEGAN.isoformat()) == [
        str(other.execution_id)
    ]
    assert await found(test="search", verdict="failed") == [str(search.execution_id)]
    (listed,) = (await site.get("/api/v1/runs", tag="branch:main")).json()["runs"]
    assert listed["tags"] == {"branch": "main", "a:b": "c:d"}
    assert listed["requests"] == len(main.matching("http_reqs"))
    assert listed["p95_ms"] == pytest.approx(np.percentile(main.values("http_req_duration"), 95))

    first = (await site.get("/api/v1/k6/overview", limit=1)).json()
    (checkout,) = first["tests"]
    assert (checkout["test"], checkout["requests"]) == ("checkout", listed["requests"])
    assert [run["execution_id"] for run in checkout["trend"]] == [
        str(other.execution_id),
        str(main.execution_id),
    ]
    second = (await site.get("/api/v1/k6/overview", limit=1, cursor=first["next_cursor"])).json()
    assert ([one["test"] for one in second["tests"]], second["next_cursor"]) == (["search"], None)
