"""`headrace bench post-test`, on a short load test, in both storage modes."""

import json
import os
import subprocess
import sys

import pytest

from tests.contract.conftest import native_server

POINTS = 45_007


@pytest.mark.parametrize("storage", ["postgresql", "timescaledb"])
def test_it_prints_what_became_of_the_points(storage: str, request: pytest.FixtureRequest) -> None:
    """One JSON object: counts match, no raw point is left, and the disk space of the raw points is free again."""
    server = request.getfixturevalue("postgres") if storage == "postgresql" else native_server()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "deploy.cli",
            "bench",
            "post-test",
            "--points",
            str(POINTS),
            "--json",
        ],
        env={**os.environ, "HEADRACE_DATABASE": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["storage"], result["points"]) == (storage, POINTS)
    assert (result["raw_left"], result["counts_match"], result["dead_rows"]) == (0, True, 0)
    assert result["aggregate_seconds"] > 0
    assert result["aggregate_rows"] > 1800 * 9  # a total each second and metric, and more
    assert result["disk_before"]["raw"] > 8192
    assert result["disk_after"]["raw"] <= 8192
    assert result["disk_after"]["kept"] > result["disk_before"]["kept"]
