"""Runs and their summaries, over a real database."""

from uuid import uuid4

import pytest

from tests.sites import Site, store_run


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
