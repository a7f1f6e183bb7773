"""The consumer of k6's Kafka formats while its broker dies: nothing lost, nothing doubled, and it can be stopped."""

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest

from producers.k6.source.ending import end
from producers.topics import create_topics
from schemas.runs import RUN_EVENT, RunFinished
from schemas.topics import Topics, TopicSpec
from sinks.database import connect_pool
from sinks.keys import Tenants
from tests.brokers import private_broker
from tests.k6_kafka import PARTITIONS, as_json, produce
from tests.k6_runs import DATA, stored, written
from tests.kafka_log import records_of
from tests.processes import headrace

pytestmark = pytest.mark.timeout(180)


async def test_a_broker_that_dies_in_the_middle(database: str, tmp_path: Path) -> None:
    """Killed at work and started again, each point is there once; away for good, SIGTERM ends the process."""
    lines = gzip.decompress((DATA / "k6-1.1.0" / "run.json.gz").read_bytes()) * 60
    points = [one for one in map(json.loads, lines.splitlines()) if one["type"] == "Point"]
    topics = Topics()
    async with await connect_pool(database, role=None, application="test") as pool:
        await Tenants(pool).create("k6")
        key = await Tenants(pool).create_key("k6", ["ingest"])
    async with private_broker(tmp_path) as broker:
        await create_topics(broker.bootstrap, [*topics.specs(2), TopicSpec("k6", PARTITIONS)], 1)
        await produce(broker.bootstrap, "k6", list(map(as_json, points)))
        env = {
            **os.environ,
            "HEADRACE_KAFKA": broker.bootstrap,
            "HEADRACE_DATABASE": database,
            "HEADRACE_TEMPORAL": "unused:0",
            "HEADRACE_API_KEY": key,
        }
        arguments = ("k6", "consume", "--topic", "k6", "--test", "nightly")
        with headrace(*arguments, env=env, log=tmp_path / "log") as process:
            async with asyncio.timeout(60):
                while len(await records_of(broker.bootstrap, topics.samples)) < 10:  # noqa: ASYNC110 # another process has no event
                    await asyncio.sleep(0.01)
            broker.kill()
            await broker.start()
            await end(broker.bootstrap, "k6", None)
            finished: list[RunFinished] = []
            async with asyncio.timeout(90):
                while not finished:
                    events = await records_of(broker.bootstrap, topics.run_events)
                    read = [RUN_EVENT.validate_json(one.value) for one in events]
                    finished = [one for one in read if isinstance(one, RunFinished)]
                    await asyncio.sleep(0.1)
            records = await records_of(broker.bootstrap, topics.samples)
            assert stored(records) == written(lines)
            assert [one.sent[0].points for one in finished] == [len(points)]
            broker.kill()
            assert await process.stop(within=15) == 0
