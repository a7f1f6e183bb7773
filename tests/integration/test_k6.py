"""The real k6 through the bridge to a real broker: nothing lost, nothing doubled, k6 as if run alone."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from producers.k6.folder import unfinished
from producers.k6.run import resume_run
from producers.topics import create_topics
from schemas.runs import RunAborted, RunFinished, RunStarted
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.keys import Tenants
from tests.k6_runs import Bench, serving_site, stored, until, written

ON_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.fixture
def site() -> Iterator[str]:
    with serving_site() as url:
        yield url


@pytest.fixture
async def bench(kafka: str, topics: Topics, tmp_path: Path) -> Bench:
    await create_topics(kafka, topics.specs(4), 1)
    return Bench(kafka, topics, tmp_path)


async def test_points_and_events_of_a_run(bench: Bench, site: str) -> None:
    """Kafka holds the points that k6 wrote, each once; the events say what was run and how it ended."""
    config = bench.config(
        *("-e", f"URL={site}", "--vus", "3", "--iterations", "300", "--tag", "team=shop"),
        test="smoke",
    )
    result = await bench.run(config)
    records = await bench.records()
    assert stored(records) == written(bench.truth.read_bytes())
    assert result.delivered
    assert (result.exit_code, result.malformed) == (99, 0)
    assert unfinished(config.spool) == []

    started, finished = await bench.events()
    assert isinstance(started, RunStarted)
    assert (started.test, Path(started.script).name) == ("smoke", "basic.js")
    assert started.tags == {"suite": "smoke", "team": "shop"}
    assert (started.runners_expected, started.keep_raw) == (1, False)
    assert isinstance(finished, RunFinished)
    assert finished.exit_code == 99
    assert {(one.metric, one.expression): one.k6_passed for one in finished.thresholds} == {
        ("http_req_failed", "rate<0.01"): False,
        ("http_req_duration{name:list}", "avg<60000"): True,
    }
    assert [one.abort_on_fail for one in finished.thresholds] == [True, False]
    assert finished.metrics["http_req_duration"] == "trend"
    assert finished.summary is not None
    assert finished.summary["metrics"]["http_reqs"]["count"] == 600

    (sent,) = finished.sent
    assert finished.sent == result.partitions
    assert sent.points == stored(records).total()
    assert {(one.partition, one.key) for one in records} == {(sent.partition, records[0].key)}
    assert sent.last_offset == records[-1].offset
    assert records[0].key.decode().startswith(f"{bench.tenant_id}/k6/{config.execution_id}")


@pytest.mark.parametrize(
    "arguments",
    [(), ("--nonsense", "basic.js"), ("--out", "bogus", "basic.js"), ("nope.js",), ("broken.js",)],
)
async def test_a_k6_that_did_not_start_leaves_no_run(
    bench: Bench, arguments: tuple[str, ...]
) -> None:
    """k6's exit code comes through, and no event tells of a run."""
    config = bench.config()
    (bench.folder / "broken.js").write_text("export default function () {")
    paths = [str(bench.folder / one) if one.endswith(".js") else one for one in arguments]
    result = await bench.run(replace(config, arguments=paths))
    assert result.exit_code not in {0, 99}
    assert (result.recorded, result.kept) == (False, None)
    assert await bench.events() == []
    assert list(config.spool.iterdir()) == []


async def test_a_completed_run_without_points_is_a_run(bench: Bench) -> None:
    """A k6 that ends well, whatever it measured, is announced and finished."""
    silent = bench.folder / "k6"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o755)
    result = await bench.run(bench.config(k6=silent))
    assert (result.recorded, result.delivered) == (True, True)
    started, finished = await bench.events()
    assert isinstance(started, RunStarted)
    assert isinstance(finished, RunFinished)
    assert (finished.sent, finished.exit_code) == ([], 0)


async def test_a_killed_k6_is_an_aborted_run(bench: Bench, site: str) -> None:
    """What it wrote until then is delivered; the event says that it did not end by itself."""
    wrapper = bench.folder / "k6"
    real = shutil.which("k6", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    wrapper.write_text(f'#!/bin/sh\n[ "$1" = inspect ] && exit 1\n{real} "$@"\nkill -KILL $$\n')
    wrapper.chmod(0o755)
    result = await bench.run(bench.config("-e", f"URL={site}", "--iterations", "5", k6=wrapper))
    assert result.exit_code == 128 + signal.SIGKILL
    assert isinstance((await bench.events())[-1], RunAborted)
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


async def test_a_cancelled_bridge_ends_k6_and_keeps_the_rest(bench: Bench, site: str) -> None:
    """k6 does not outlive its bridge, and nothing that it wrote is lost."""
    config = bench.config("-e", f"URL={site}", "--duration", "5m", bootstrap="127.0.0.1:9")
    running = asyncio.create_task(bench.run(config))
    await until(lambda: bench.truth.exists() and bench.truth.stat().st_size > 100_000)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (folder,) = unfinished(config.spool)
    assert (await resume_run(folder, bench.bootstrap, say=bench.said.append)).delivered
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


@pytest.fixture
async def headrace(bench: Bench, database: str) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts the command line with a tenant's key, in a session of its own."""
    async with await connect_pool(database, role=None, application="test") as pool:
        await Tenants(pool).create("k6")
        key = await Tenants(pool).create_key("k6", ["ingest"])
    environment = {
        **os.environ,
        "HEADRACE_KAFKA": bench.bootstrap,
        "HEADRACE_DATABASE": database,
        "HEADRACE_TEMPORAL": "unused",
        "HEADRACE_TOPIC_PREFIX": bench.topics.prefix,
        "HEADRACE_HOME": str(bench.folder / "home"),
        "HEADRACE_API_KEY": key,
    }

    def start(*arguments: str, terminal: bool = False, **more: str) -> "subprocess.Popen[str]":
        on_terminal = [sys.executable, "-c", ON_TERMINAL] if terminal else []
        return subprocess.Popen(
            [*on_terminal, sys.executable, "-m", "deploy.cli", "k6", *arguments],
            stdin=subprocess.PIPE,
            env={**environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


async def test_the_command_prints_one_object(
    bench: Bench, site: str, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """With --json stdout is the object and nothing else; the exit code is k6's."""
    arguments = bench.config("-e", f"URL={site}", "--iterations", "10").arguments
    process = headrace("run", "--json", *arguments)
    out, err = await asyncio.to_thread(process.communicate)
    facts = json.loads(out)
    assert process.returncode == 99
    assert facts["exit_code"] == 99
    points = written(bench.truth.read_bytes()).total()
    assert facts["points"] == {"sent": points, "read": points, "malformed": 0}
    assert facts["execution_id"] in err.splitlines()[-1]


async def test_the_command_says_that_k6_did_not_start(
    bench: Bench, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """After k6's own complaint, with k6's own exit code."""
    process = headrace("run", str(bench.folder / "nope.js"))
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 255, err
    assert err.splitlines()[-1] == "headrace: k6 did not start; no run was recorded"


async def test_an_import_that_fails_says_one_line(
    bench: Bench, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """The progress bar leaves nothing where there is no terminal."""
    process = headrace("import", str(bench.folder / "nope.json"))
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 2
    (line,) = err.splitlines()
    assert line.startswith("headrace: ")


async def test_a_script_on_stdin_is_named_so(
    bench: Bench, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """Its runs are compared under `stdin`."""
    process = headrace("run", "--quiet", "--iterations", "1", "-")
    script = "export default function () {}"
    _, err = await asyncio.to_thread(process.communicate, script)
    assert process.returncode == 0, err
    (started,) = [one for one in await bench.events() if isinstance(one, RunStarted)]
    assert (started.test, started.script) == ("stdin", "-")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_reaches_k6_once(
    bench: Bench,
    site: str,
    headrace: Callable[..., "subprocess.Popen[str]"],
    number: signal.Signals,
) -> None:
    """k6 ends gracefully with its own code, and the finished event is published."""
    arguments = bench.config("-e", f"URL={site}", "--duration", "5m", "--no-thresholds").arguments
    process = headrace("run", *arguments)
    await until(lambda: bench.truth.exists() and bench.truth.stat().st_size > 0)
    process.send_signal(number)
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 105, err
    assert "Aborting k6" not in err  # what k6 says to a second signal
    finished = (await bench.events())[-1]
    assert isinstance(finished, RunFinished)
    assert finished.exit_code == 105
    assert finished.summary is not None
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


async def test_ctrl_c_on_a_terminal_reaches_k6_once(
    bench: Bench, site: str, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """The terminal signals k6 and bridge alike; passed on, it would be k6's second and abort it."""
    arguments = bench.config("-e", f"URL={site}", "--duration", "5m", "--no-thresholds").arguments
    process = headrace("run", *arguments, terminal=True)
    await until(lambda: bench.truth.exists() and bench.truth.stat().st_size > 0)
    shown, _ = await asyncio.to_thread(process.communicate, "\x03")
    assert process.returncode == 105, shown
    assert "interrupt" in shown
    assert "Aborting k6" not in shown
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


async def test_without_a_broker_the_run_completes_and_is_kept(
    bench: Bench, site: str, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """An interrupted delivery exits 75 and says how to go on; `deliver` does."""
    arguments = bench.config("-e", f"URL={site}", "--iterations", "50").arguments
    process = headrace("run", *arguments, HEADRACE_KAFKA="127.0.0.1:9")
    assert process.stderr is not None
    said = ""
    while "still delivering" not in said:
        said += await asyncio.to_thread(process.stderr.readline)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 75, err
    assert "headrace k6 deliver" in err
    assert "THRESHOLDS" in out
    delivery = headrace("deliver")
    _, err = await asyncio.to_thread(delivery.communicate)
    assert delivery.returncode == 0, err
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


async def test_a_dead_broker_is_not_awaited_for_ever(
    bench: Bench, site: str, headrace: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """With nobody to press Ctrl-C, the rest is kept when the time for delivery is over."""
    arguments = bench.config("-e", f"URL={site}", "--iterations", "5").arguments
    process = headrace("run", "--deliver-within", "1s", *arguments, HEADRACE_KAFKA="127.0.0.1:9")
    _, err = await asyncio.to_thread(process.communicate)
    assert process.returncode == 75, err
    assert "Deliver them: headrace k6 deliver" in err.splitlines()[-1]
    (folder,) = unfinished(bench.folder / "home" / "spool")
    await resume_run(folder, bench.bootstrap, say=bench.said.append)
    assert stored(await bench.records()) == written(bench.truth.read_bytes())
    assert [type(one) for one in await bench.events()] == [RunStarted, RunFinished]
