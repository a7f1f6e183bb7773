"""One real run arrives by five ways, and the database holds five times the same aggregates."""

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from producers.k6.imports import ImportConfig, import_run
from producers.k6.source.config import SourceConfig
from producers.k6.source.consumer import Source
from producers.k6.source.ending import end
from producers.k6.source.messages import Format
from producers.k6.source.telemetry import Telemetry
from producers.topics import create_topics
from schemas.k6_metrics import MetricType
from schemas.runs import RUN_EVENT, RunFinished
from schemas.topics import TopicSpec
from tests import k6_runs
from tests.ingestion import Bench
from tests.k6_kafka import PARTITIONS, as_influx, as_json, produce
from tests.kafka_log import records_of
from tests.processes import headrace

pytestmark = pytest.mark.timeout(240)

SCRIPT = """
import http from 'k6/http'; import { check, group } from 'k6';
import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
const made = new Counter('made'), depth = new Gauge('depth'), good = new Rate('good'), took = new Trend('took', true);
export const options = {
  scenarios: {
    readers: { executor: 'per-vu-iterations', vus: 2, iterations: 60, exec: 'reader' },
    writers: { executor: 'constant-arrival-rate', rate: 40, duration: '3s', preAllocatedVUs: 4, exec: 'writer' },
  },
  thresholds: { checks: ['rate>0.1'], 'http_req_duration{scenario:readers}': ['p(95)<60000'], took: ['avg<0'] },
};
export function reader() {
  group('read, "all"', () => {
    const answer = http.get(`${__ENV.URL}list?page=1&size=2`, { tags: { name: 'list', 'my-tag': 'a b=c,d', team: 'x&y' } });
    check(answer, { 'is 200': (r) => r.status === 200 });
    took.add(answer.timings.duration);
  });
  depth.add(__ITER); good.add(__ITER % 3 === 0);
}
export function writer() {
  check(http.get(`${__ENV.URL}${__ITER}/missing?id=${__ITER}`), { 'is there': (r) => r.status === 200 });
  http.get('http://127.0.0.1:1/');
  made.add(2);
}
"""
TYPES: dict[str, MetricType] = {
    "made": "counter",
    "depth": "gauge",
    "good": "rate",
    "took": "trend",
}
FORMATS: tuple[Format, ...] = ("json", "influx")


async def taken_from_kafka(bench: Bench, format_: Format, messages: list[bytes]) -> None:
    """Put the run into a topic as the extension does, and take it from there."""
    topic = f"{bench.topics.prefix}k6.{format_}"
    await create_topics(bench.kafka, [TopicSpec(topic, PARTITIONS)], 1)
    await produce(bench.kafka, topic, messages)
    await end(bench.kafka, topic, None)
    config = SourceConfig(
        bench.kafka, bench.topics, bench.tenant, topic, format_, test=format_, types=TYPES
    )
    source = Source(config, Telemetry(CollectorRegistry()))
    running = asyncio.create_task(source.run())
    known = await runs(bench)
    while len(await runs(bench)) == len(known):  # noqa: ASYNC110 # Kafka has no event for it
        await asyncio.sleep(0.2)
    source.stop()
    await running


async def runs(bench: Bench) -> list[RunFinished]:
    found = await records_of(bench.kafka, bench.topics.run_events)
    read = [RUN_EVENT.validate_json(record.value) for record in found]
    return [one for one in read if isinstance(one, RunFinished)]


async def aggregates(bench: Bench, execution: UUID) -> dict[tuple[Any, ...], dict[str, Any]]:
    """All rows of a run by their key, without the run's id."""
    key = ("kind", "bucket", "metric", "name", "method", "status")
    rows = await bench.pool.fetch("SELECT * FROM k6_aggregates WHERE execution_id = $1", execution)
    other = {"execution_id", *key}
    return {
        tuple(row[one] for one in key): {k: v for k, v in row.items() if k not in other}
        for row in rows
    }


def close(a: Any, b: Any) -> bool:
    """Equal; sums and averages may be added up in another order."""
    return (
        math.isclose(a, b, rel_tol=1e-12)
        if isinstance(a, float) and b is not None
        else bool(a == b)
    )


async def test_the_same_run_by_five_ways_is_the_same_summary(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """Bridge, JSON, CSV and both Kafka formats: every figure of every metric, endpoint and second."""
    (tmp_path / "ways.js").write_text(SCRIPT)
    csv, exported = tmp_path / "run.csv.gz", tmp_path / "summary.json"
    mine = k6_runs.Bench(bench.kafka, bench.topics, tmp_path, bench.tenant)
    with k6_runs.serving_site() as url:
        arguments = ["--quiet", "--out", f"json={mine.truth}", "--out", f"csv={csv}"]
        arguments += [
            "--summary-export",
            str(exported),
            "-e",
            f"URL={url}",
            str(tmp_path / "ways.js"),
        ]
        bridged = await mine.run(replace(mine.config(), arguments=arguments))
    assert bridged.exit_code == 99
    summary = json.loads(exported.read_bytes())
    for file in (mine.truth, csv):
        importing = ImportConfig(bench.kafka, bench.topics, bench.tenant, file, summary=summary)
        imported = await import_run(importing, say=print, progress=lambda _done, _total: None)
        assert (imported.read, imported.malformed) == (bridged.read, 0)
    lines = map(json.loads, mine.truth.read_bytes().splitlines())
    points = [one for one in lines if one["type"] == "Point"]
    assert len(points) == bridged.read > 4000
    for format_, write in zip(FORMATS, (as_json, as_influx), strict=True):
        await taken_from_kafka(bench, format_, [write(one) for one in points])

    ended = await runs(bench)
    assert [sum(sent.points for sent in one.sent) for one in ended] == [bridged.read] * 5
    assert [one.metrics for one in ended] == [bridged.metrics] * 5
    env = bench.env(HEADRACE_TEMPORAL=temporal)
    with (
        headrace("ingest", env=env, log=tmp_path / "ingest"),
        headrace("worker", env=env, log=tmp_path / "worker"),
    ):
        async with asyncio.timeout(120):
            done = "SELECT count(*) FROM runs WHERE state = 'finished'"
            while await bench.pool.fetchval(done) < 5:  # noqa: ASYNC110 # another process has none
                await asyncio.sleep(0.2)
    ids = [one.execution_id for one in ended]
    assert ids[0] == bridged.execution_id
    by_bridge, *others = [await aggregates(bench, one) for one in ids]
    assert {key[0] for key in by_bridge} >= {"bucket", "summary", "endpoint"}
    assert sum(row["n"] for key, row in by_bridge.items() if key[0] == "summary") == bridged.read
    for other in others:
        assert other.keys() == by_bridge.keys()
        for key, row in other.items():
            expected = by_bridge[key]
            assert all(close(row[k], expected[k]) for k in expected), (key, row, expected)
    for query in (
        "SELECT group_name, check_name, passes, fails FROM run_checks WHERE execution_id = $1",
        "SELECT name, method, status, error_code, error, n FROM run_errors WHERE execution_id = $1",
    ):
        found = [sorted(map(tuple, await bench.pool.fetch(query, one))) for one in ids]
        assert found[0], query
        assert found == [found[0]] * 5
    judged = await bench.pool.fetch("SELECT execution_id, verdict FROM runs")
    verdicts = {row["execution_id"]: row["verdict"] for row in judged}
    # Thresholds never come by the extension.
    assert [verdicts[one] for one in ids] == ["failed", "failed", "failed", "passed", "passed"]
