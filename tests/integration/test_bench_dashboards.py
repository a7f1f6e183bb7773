"""`headrace bench dashboards`, on two nights of a minute each."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

from deploy.bench.dashboards_mix import dashboards

SECONDS = 60
ENDPOINTS = 55
"""Fifty, of which five answer with two statuses."""
TRENDS = 7


def test_it_loads_the_nights_and_prints_what_each_request_takes(postgres: str) -> None:
    """One JSON object: every row that was meant to be there, and each request with its times and rows."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.cli", "bench", "dashboards", "--json"),
            *("--nights", "2", "--minutes", str(SECONDS // 60), "--rounds", "1", "--clients", "2"),
        ],
        env={**os.environ, "HEADRACE_DATABASE": postgres},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    by_second = ENDPOINTS * (TRENDS + 2) + TRENDS + 10
    whole = ENDPOINTS * (TRENDS + 2) + TRENDS + 8
    assert result["aggregate_rows"] == 2 * (SECONDS * by_second + whole)
    routes = result["routes"]
    assert routes.keys() == {one.name for one in dashboards(datetime.now(UTC), 2, "run")}
    for route in routes.values():
        assert 0 < route["alone"]["p50_ms"] <= route["alone"]["p95_ms"]
        assert route["busy"]["p95_ms"] > 0
        assert route["rows_read"] > 0
    # The seconds of one endpoint, and not those of the fifty.
    read = routes["series/request-rate run endpoint"]["rows_read"]
    assert SECONDS <= read < ENDPOINTS * SECONDS / 10
    assert routes["series/request-rate all"]["rows_read"] < SECONDS
