"""`headrace bench query`, on a day of a few series."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from deploy.bench.query import age_history
from deploy.bench.query_load import load_history
from deploy.bench.query_mix import mix
from deploy.bench.query_rows import Witness
from schemas.lifecycle import floor
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.keys import Tenants
from tests.contract.conftest import native_server

SAMPLES_A_DAY = 8640
HOSTS = 2


def _quiet(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@pytest.fixture(params=["postgresql", "timescaledb"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """DSN of a superuser on each kind of server."""
    if request.param == "timescaledb":
        yield native_server()
    else:
        yield request.getfixturevalue("postgres")


def test_it_prints_times_and_rows_and_its_answers_are_those_of_the_raw_samples(
    server: str, request: pytest.FixtureRequest
) -> None:
    """One JSON object: what was loaded, the mix, and each panel with what it read and would have read."""
    options = ["--days", "1", "--series", str(10 * HOSTS), "--rounds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "bench", "query", *options],
        env={**os.environ, "HEADRACE_DATABASE": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["storage"] == request.node.callspec.params["server"]
    assert (result["days"], result["series"]) == (1, 10 * HOSTS)
    assert result["mix"].keys() == {"p50_ms", "p95_ms", "p99_ms"}
    assert result["mix_first_look"].keys() == result["mix"].keys()
    assert result["queries"].keys() == {panel.name for panel in mix(1)}
    assert result["differences"] == []
    for name, series in (("1d_host", 1), ("1d_all", HOSTS), ("1d_p95", 1)):
        panel = result["queries"][name]
        assert panel["p95_ms"] > 0
        # A day, the hour that it began in, and the series themselves.
        assert SAMPLES_A_DAY * series <= panel["rows_read_raw"] < SAMPLES_A_DAY * series * 1.1
        assert 24 * series < panel["rows_read"] < panel["rows_read_raw"] / 20
    assert result["queries"]["names"]["rows_read_raw"] is None


async def test_an_answer_that_is_not_that_of_the_raw_samples_is_found(database: str) -> None:
    """One stored hour that is wrong shows in the panels over it, and in no others."""
    owners = await connect_pool(database, role="headrace_owner", application="test")
    readers = await connect_pool(database, role="headrace_reader", application="test")
    async with owners, readers:
        tenant, _ = await Tenants(owners).create("bench")
        key = await Tenants(owners).create_key("bench", ("read",))
        end = floor(datetime.now(UTC), timedelta(minutes=1))
        begin = floor(end - timedelta(days=1), timedelta(hours=1))
        await load_history(owners, tenant.tenant_id, begin, end, series=10 * HOSTS, report=_quiet)
        await age_history(owners, Settings().lifecycle, begin, end, _quiet)
        witness = Witness(readers, tenant.tenant_id, key, timedelta(days=32))
        panels = {panel.name: panel for panel in mix(1)}
        assert await witness.differences(panels["1d_host"], end) == []
        await owners.execute(
            "UPDATE rollup_1h SET v_sum = v_sum + 0.125 WHERE bucket = $1",
            begin + timedelta(hours=3),
        )
        (found,) = await witness.differences(panels["1d_host"], end)
        assert f"{begin + timedelta(hours=3):%Y-%m-%d %H:%M}" in found
        assert await witness.differences(panels["24h_host"], end) == []
