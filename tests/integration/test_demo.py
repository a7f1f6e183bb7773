"""`headrace demo` as a user runs it: a stack of its own, real k6, and nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deploy.demo.scripts import USUAL_SECONDS, Load, Script
from deploy.local.ports import Ports, free_offset, is_free, owner
from deploy.local.stack import Stack
from producers.k6.program import find
from schemas.settings import Settings

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Installation:
    """A home and ports of the test's own."""

    home: Path
    offset: int

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the command line."""
        settings = Settings()
        runtime = settings.runtime or settings.home / "runtime"
        ours = {
            "HEADRACE_HOME": str(self.home),
            "HEADRACE_RUNTIME": str(runtime.absolute()),
            "HEADRACE_PORT_OFFSET": str(self.offset),
            # The stack that runs was not started for an incident.
            "HEADRACE_OUTGOING_ALLOW": "127.0.0.1",
        }
        others = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
        return subprocess.Popen(
            (sys.executable, "-m", "deploy.cli", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=others | ours,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command line: exit code, standard output, standard error."""
        with self.start(*arguments) as process:
            output, errors = process.communicate()
        return process.returncode, output, errors


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation in which nothing has run yet; what runs in the end is stopped."""
    made = Installation(tmp_path_factory.mktemp("demo"), free_offset())
    yield made
    Stack(made.home).stop()
    assert is_free(Ports(made.offset)["items"])


@pytest.fixture(scope="module")
def kept(installation: Installation) -> dict[str, Any]:
    """What a first demo printed that left everything running."""
    code, output, errors = installation.run("demo", "--keep", "--json", "--duration", "5s")
    assert code == 0, errors
    document: dict[str, Any] = json.loads(output)
    return document


def test_first_demo_brings_every_point_through_once(kept: dict[str, Any]) -> None:
    """From nothing: one JSON object, every point stored once, and k6's own figures."""
    points = kept["points"]
    assert points["sent"] == points["stored"] > 1000
    assert (points["deduplicated"], points["dead_lettered"], kept["raw_left"]) == (0, 0, 0)
    assert kept["aggregate_rows"] > 50
    k6, ours = kept["k6"], kept["headrace"]
    assert k6["http_reqs"] == ours["http_reqs"] > 100
    assert k6["http_req_duration"] == pytest.approx(ours["http_req_duration"], rel=0.01)
    assert k6["exit_code"] == ours["exit_code"]
    assert 5 <= kept["seconds"]["run"] < 20


def test_demo_finds_the_running_stack_and_leaves_it_running(
    installation: Installation, kept: dict[str, Any]
) -> None:
    """People get tables and addresses; the stack and the service are as they were."""
    before = _items(installation)
    code, output, errors = installation.run("demo", "--script", "crud", "--duration", "5s")
    assert code == 0, errors
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "raw points left 0" in lines
    assert "http_req_failed: rate<0.02 0 passed passed" in lines
    (url,) = [line.split()[-1] for line in lines if line.startswith("the run's summary http")]
    assert kept["execution_id"] not in url
    key = json.loads((installation.home / "credentials.json").read_text())["api_key"]
    summary = httpx.get(url, headers={"X-API-Key": key}).json()
    assert (summary["test"], summary["state"]) == ("crud", "finished")
    assert {one["name"] for one in summary["endpoints"]} == {"/items", "/items/{id}"}
    assert _items(installation) == before


@pytest.mark.usefixtures("kept")
def test_ctrl_c_ends_k6_and_leaves_what_was_running(installation: Installation) -> None:
    """Interrupted in mid-run: exit code 130, no k6 left, what was measured is kept."""
    before = _items(installation)
    with installation.start("demo", "--duration", "60s") as demo:
        assert demo.stderr is not None
        while "k6 runs" not in demo.stderr.readline():
            assert demo.poll() is None
        k6 = _until_k6_runs(psutil.Process(demo.pid))
        _until_points_flow(installation)
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert "headrace k6 deliver" in errors
    assert "Traceback" not in errors
    assert not k6.is_running()
    assert _items(installation) == before
    assert list((installation.home / "spool").iterdir())


def test_an_incident_is_noticed_approved_and_remedied(installation: Installation) -> None:
    """From a slow service to all clear: told by the API, approved by the CLI, done once, in order."""
    code, output, errors = installation.run("demo", "--incident", "--json", "--duration", "35s")
    assert code == 0, errors
    incident = json.loads(output)["incident"]
    alert, remediation = incident["alert"], incident["remediation"]
    fired, resolved = (
        next(one for one in alert["history"] if one["state"] == state)
        for state in ("firing", "resolved")
    )
    assert len(alert["history"]) == 2
    assert fired["value"] > fired["threshold"] > resolved["value"]
    assert alert["labels"] == {"name": "/items"}
    assert (remediation["state"], remediation["approver"]) == ("succeeded", "demo")
    assert remediation["episode"] == alert["episode"]
    done = [one for one in remediation["trail"] if one["attempt"] > 0]
    assert [(one["kind"], one["status"]) for one in done] == [
        ("approval", "approved"),
        ("step", "succeeded"),
    ]
    # A window that ends within it, of half a second each: what is slow from then on breaches the first.
    moments = [
        incident["slow_at"],
        alert["fired_at"],
        remediation["created_at"],
        done[0]["began_at"],
        done[1]["ended_at"],
        remediation["ended_at"],
    ]
    assert moments == sorted(moments, key=datetime.fromisoformat)


@pytest.mark.usefixtures("kept")
def test_wrong_key_is_refused_before_any_load(installation: Installation) -> None:
    """Nobody's run is nobody's: one line that says what to do, and no JSON."""
    code, output, errors = installation.run("demo", "--json", "--api-key", "hr_wrong")
    assert code in {1, 2}
    assert output == ""
    assert "tenants keys create" in " ".join(errors.split())
    assert "k6 runs" not in errors


@pytest.mark.parametrize("name", USUAL_SECONDS)
def test_scripts_scale_with_the_environment(name: Script) -> None:
    """k6 itself reads from each script what it was asked for."""
    load = Load(name, seconds=10, vus=7)
    environment = load.environment(os.environ, "http://items")
    k6 = find(None, environment)
    inspected = subprocess.run(
        (k6, "inspect", "--execution-requirements", "--include-system-env-vars", load.path),
        env=environment,
        capture_output=True,
        check=True,
    )
    options = json.loads(inspected.stdout)
    assert options["maxVUs"] - 7 in {0, 3}  # the three of a smoke test may still be ending
    total = options["totalDuration"]
    assert total.endswith("s")
    assert 10 <= float(total.removesuffix("s")) <= 40.1  # with the time to end gracefully
    assert options["thresholds"]["http_req_duration"]
    assert options["thresholds"]["http_req_failed"]


def _items(installation: Installation) -> str:
    """The process that listens on the service's port, by name and pid."""
    found = owner(Ports(installation.offset)["items"])
    assert found is not None
    return found


def _until_points_flow(installation: Installation) -> None:
    """The run is announced with its first point."""
    key = json.loads((installation.home / "credentials.json").read_text())["api_key"]
    runs = f"{Ports(installation.offset).url('api')}/api/v1/runs?state=running"
    while not httpx.get(runs, headers={"X-API-Key": key}).json()["runs"]:
        time.sleep(0.1)


def _until_k6_runs(demo: psutil.Process) -> psutil.Process:
    """The k6 that runs the script, once it is started; another inspects it meanwhile."""
    while demo.is_running():
        for one in demo.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.name() == "k6" and "run" in one.cmdline():
                    return one
    raise AssertionError("the demo has ended")
