"""Bridges that are killed and brokers that hang in mid-run: no point lost or doubled, and k6 does not notice."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from producers.k6.folder import is_idle, unfinished
from producers.k6.run import resume_run
from producers.topics import create_topics
from schemas.envelopes import decode_numeric
from schemas.runs import RunAborted, RunFinished, RunStarted
from schemas.timestamps import column
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.keys import Tenants
from sinks.runs import RunStore
from tests.brokers import private_broker
from tests.ingestion import Bench as Ingestion
from tests.k6_runs import Bench, serving_site, stored, until, written
from tests.processes import headrace
from workflows.metrics import Metrics
from workflows.post_test.activities import PostTestActivities
from workflows.post_test.types import PostTest

PAUSE = 18.0
"""Seconds: longer than a producer's request timeout, so that it has to retry what is in flight."""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def site() -> Iterator[str]:
    with serving_site() as url:
        yield url


@pytest.fixture
def run(bench: Ingestion, tmp_path: Path) -> Bench:
    return Bench(bench.kafka, bench.topics, tmp_path)


@pytest.fixture
async def start(run: Bench, bench: Ingestion) -> Start:
    """Starts `headrace k6 …` with a tenant's key; what it prints goes to a file, as k6 outlives it."""
    key = await Tenants(bench.pool).create_key("test", ["ingest"])
    home = str(run.folder / "home")
    environment = os.environ | bench.env(HEADRACE_HOME=home, HEADRACE_API_KEY=key)

    def start(*arguments: str) -> "subprocess.Popen[str]":
        with (run.folder / "output.txt").open("a") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "k6", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if "--json" in arguments else output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    return start


async def test_a_bridge_killed_again_and_again_costs_nothing(
    run: Bench, site: str, start: Start
) -> None:
    """Killed before the first point, twice in mid-run and once after k6's end; the last one concludes."""
    config = run.config(
        *("-e", f"URL={site}", "--duration", "20s", "--rps", "300", "--tag", "team=shop"),
        execution_id=uuid4(),
    )
    spool = run.folder / "home" / "spool"
    bridge = start("run", "--execution-id", str(config.execution_id), *config.arguments)
    await until(lambda: any((one / "pid").exists() for one in unfinished(spool)))
    (folder,) = unfinished(spool)
    _kill(bridge)
    for more in (0, 1_000_000):
        bridge = start("resume")
        await until(lambda: _acknowledged(folder) > more)  # noqa: B023 # called in this round
        _kill(bridge)
    await until((folder / "exit.json").exists)
    bridge = start("resume", str(config.execution_id))
    await until(lambda: not is_idle(folder))
    _kill(bridge)

    bridge = start("resume", "--json", str(folder))
    out, _ = await asyncio.to_thread(bridge.communicate)
    assert bridge.returncode == 99
    facts = json.loads(out)
    assert facts["exit_code"] == 99
    truth = written(run.truth.read_bytes())
    records = await run.records()
    assert stored(records) == truth
    assert facts["points"] == {"sent": truth.total(), "read": truth.total(), "malformed": 0}
    events = await run.events()
    started = [one for one in events if isinstance(one, RunStarted)]
    (finished,) = [one for one in events if isinstance(one, RunFinished)]
    assert {one.tags["team"] for one in started} == {"shop"}
    assert len(started) == 1
    assert sum(one.points for one in finished.sent) == truth.total()
    assert finished.sent[0].last_offset == records[-1].offset
    assert finished.metrics.keys() == {name for name, *_ in truth}
    assert {(one.metric, one.k6_passed) for one in finished.thresholds} == {
        ("http_req_failed", False),
        ("http_req_duration{name:list}", True),
    }
    assert finished.summary is not None
    assert finished.summary["metrics"]["iterations"]["count"] == sum(
        n for (name, *_), n in truth.items() if name == "iterations"
    )
    assert unfinished(spool) == []


async def test_three_bridges_share_a_run_and_one_is_killed(
    run: Bench, bench: Ingestion, site: str, start: Start
) -> None:
    """Points are each once in Kafka and in the database; what no runner reached alone, the run did."""
    execution_id = uuid4()
    truths = {name: run.folder / f"{name}.json" for name in ("a", "b", "c")}
    arguments = run.config(
        *("-e", f"URL={site}", "-e", "REQUESTS=count>2000", "--duration", "8s", "--rps", "150")
    ).arguments[3:]
    bridges = {
        name: start(
            *("run", "--runner", name, "--execution-id", str(execution_id), "--runners", "3"),
            *("--keep-raw", "--quiet", "--address", "", "--out", f"json={truth}", *arguments),
        )
        for name, truth in truths.items()
    }
    await until(lambda: truths["b"].exists() and truths["b"].stat().st_size > 300_000)
    _kill(bridges["b"])
    bridges["b"] = start("resume", str(execution_id))
    codes = {name: await asyncio.to_thread(one.wait) for name, one in bridges.items()}
    assert codes == dict.fromkeys(truths, 99), (run.folder / "output.txt").read_text()

    records = await run.records()
    for name, truth in truths.items():
        assert stored(_of(records, execution_id, name)) == written(truth.read_bytes())
    events = await run.events()
    started = [one for one in events if isinstance(one, RunStarted)]
    finished = [one for one in events if isinstance(one, RunFinished)]
    assert len(started) == len(finished) == 3
    assert {one.runner for one in started} == {one.runner for one in finished} == set(truths)
    assert {(one.execution_id, one.runners_expected, one.keep_raw) for one in started} == {
        (execution_id, 3, True)
    }
    with headrace("ingest", env=bench.env(), log=run.folder / "ingest.log"):
        await bench.arrived(stored(records).total())
    rows = await bench.pool.fetch(_STORED, execution_id)
    assert Counter(tuple(row) for row in rows) == Counter(
        (name, value, int(column([at], 0)[0]))
        for (name, value, at, _), n in stored(records).items()
        for _ in range(n)
    )
    for one in finished:
        assert (
            sum(part.points for part in one.sent)
            == written(truths[one.runner].read_bytes()).total()
        )
    await _judged(bench, execution_id, events, stored(records))


async def _judged(
    bench: Ingestion,
    execution_id: UUID,
    events: list[RunStarted | RunFinished | RunAborted],
    points: "Counter[tuple[Any, ...]]",
) -> None:
    """Aggregates and verdict are those of all runners' points."""
    pool = await connect_pool(bench.dsn, role="headrace_writer", application="test")
    async with pool:
        runs = RunStore(pool)
        states = [await runs.record(event) for event in events]
        assert states[-1] == "aggregating"
        assert "aggregating" not in states[:-1]
        steps = PostTestActivities(runs, Metrics(CollectorRegistry()))
        asked = PostTest(execution_id, f"{bench.topics.prefix}ingest")
        await runs.aggregate(execution_id)
        assert await steps.evaluate(asked) == "failed"
    row = await bench.pool.fetchrow(
        "SELECT r.thresholds, a.n, a.p95 FROM runs r JOIN k6_aggregates a USING (execution_id) "
        "WHERE execution_id = $1 AND a.kind = 'summary' AND a.metric = 'http_req_duration'",
        execution_id,
    )
    values = sorted(
        value
        for (name, value, *_), n in points.items()
        if name == "http_req_duration"
        for _ in range(n)
    )
    assert row["n"] == len(values)
    assert row["p95"] == pytest.approx(np.percentile(values, 95), rel=1e-9)
    judged = {one["metric"]: one for one in json.loads(row["thresholds"])}
    assert judged["http_reqs"]["observed"] == len(values) > 2000
    assert (judged["http_reqs"]["passed"], judged["http_reqs"]["k6_passed"]) == (True, False)
    assert judged["http_req_failed"]["observed"] == pytest.approx(
        sum(n for (name, value, *_), n in points.items() if name == "http_req_failed" and value)
        / len(values)
    )
    assert not judged["http_req_failed"]["passed"]


async def test_at_its_limit_the_test_ends_and_nothing_is_lost(run: Bench, site: str) -> None:
    """With no broker and no more room, k6 is told to end; all that it wrote is delivered later."""
    config = run.config(
        *("-e", f"URL={site}", "--duration", "5m", "--no-thresholds"),
        bootstrap="127.0.0.1:9",
        disk_limit=1 << 20,
        deliver_within=timedelta(seconds=1),
    )
    result = await run.run(config)
    assert (result.exit_code, result.delivered) == (105, False)
    assert any("limit of 1 MiB" in line for line in run.said)
    assert result.kept is not None
    later = await resume_run(result.kept, run.bootstrap, say=run.said.append)
    assert (later.exit_code, later.delivered) == (105, True)
    assert stored(await run.records()) == written(run.truth.read_bytes())


async def test_a_hung_broker_is_survived(tmp_path: Path) -> None:
    """Frozen for 18 s while k6 runs: each point is in Kafka once, and k6 measured through the pause."""
    topics = Topics("chaos.")
    with serving_site() as site:
        async with private_broker(tmp_path / "broker") as broker:
            await create_topics(broker.bootstrap, topics.specs(4), 1)
            bench = Bench(broker.bootstrap, topics, tmp_path)
            config = bench.config(
                *("-e", f"URL={site}", "--no-thresholds", "--duration", "26s", "--rps", "300"),
            )
            running = asyncio.create_task(bench.run(config))
            await until(lambda: bench.truth.exists() and bench.truth.stat().st_size > 1_000_000)
            broker.freeze()
            await asyncio.sleep(PAUSE)  # the length of the outage is what is tested
            broker.thaw()
            result = await running
            assert stored(await bench.records()) == written(bench.truth.read_bytes())
            assert result.delivered
            assert result.exit_code == 0
            assert result.spooled_bytes > 1 << 20
            finished = (await bench.events())[-1]
            assert isinstance(finished, RunFinished)
            assert sum(one.points for one in finished.sent) == result.read
    assert longest_gap(bench.truth) < timedelta(seconds=PAUSE / 3)


_STORED = """
SELECT name, value, (extract(epoch FROM ts) * 1000000)::bigint
FROM k6_samples JOIN series USING (series_id) WHERE execution_id = $1
"""


def _kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()


def _acknowledged(folder: Path) -> int:
    """How far a bridge has noted that it came."""
    try:
        return int(json.loads((folder / "progress.json").read_text())["end"])
    except FileNotFoundError:
        return 0


def _of(records: list[ConsumerRecord], execution_id: UUID, runner: str) -> list[ConsumerRecord]:
    source = f"k6/{execution_id}/{runner}"
    return [one for one in records if decode_numeric(one.value).source == source]


def longest_gap(truth: Path) -> timedelta:
    """Between the ends of two successive iterations, as k6 timed them."""
    times = sorted(
        datetime.fromisoformat(line["data"]["time"])
        for line in map(json.loads, truth.read_bytes().splitlines())
        if line["type"] == "Point" and line["metric"] == "iterations"
    )
    return max(after - before for before, after in pairwise(times))
