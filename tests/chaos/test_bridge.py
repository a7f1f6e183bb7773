"""A broker that hangs in mid-run: the bridge loses and doubles nothing, and k6 does not notice."""

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from producers.k6.spool import SpoolPolicy

from producers.topics import create_topics
from schemas.runs import RunFinished
from schemas.topics import Topics
from tests.brokers import private_broker
from tests.k6_runs import Bench, serving_site, stored, until, written

PAUSE = 18.0
"""Seconds: longer than a producer's request timeout, so that it has to retry what is in flight."""


async def test_a_hung_broker_is_survived(tmp_path: Path) -> None:
    """Frozen for 18 s while k6 runs: each point is in Kafka once, and k6 measured through the pause."""
    topics = Topics("chaos.")
    with serving_site() as site:
        async with private_broker(tmp_path / "broker") as broker:
            await create_topics(broker.bootstrap, topics.specs(4), 1)
            bench = Bench(broker.bootstrap, topics, tmp_path)
            config = bench.config(
                *("-e", f"URL={site}", "--no-thresholds", "--duration", "26s", "--rps", "300"),
                # Small, so that the pause reaches the disk.
                policy=SpoolPolicy(memory=256 << 10, segment=256 << 10),
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
            assert result.spooled_bytes > 0
            finished = (await bench.events())[-1]
            assert isinstance(finished, RunFinished)
            assert sum(one.points for one in finished.sent) == result.read
    assert longest_gap(bench.truth) < timedelta(seconds=PAUSE / 3)


def longest_gap(truth: Path) -> timedelta:
    """Between the ends of two successive iterations, as k6 timed them."""
    times = sorted(
        datetime.fromisoformat(line["data"]["time"])
        for line in map(json.loads, truth.read_bytes().splitlines())
        if line["type"] == "Point" and line["metric"] == "iterations"
    )
    return max(after - before for before, after in pairwise(times))
