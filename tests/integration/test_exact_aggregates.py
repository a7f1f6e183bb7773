"""A real k6 run of 200,000 points through the whole path: each aggregate is what k6's own file gives."""

import asyncio
import gzip
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import numpy as np
import pytest
from numpy.typing import NDArray

from producers.k6.run import RunConfig, run_k6
from query.sketches import decode
from schemas.runs import RUN_EVENT, RunFinished
from sinks.database import connect_pool
from sinks.runs import RunStore
from tests.ingestion import Bench
from tests.kafka_log import records_of
from tests.processes import headrace

_SCRIPT = """
import http from 'k6/http'; import { check, group } from 'k6'; import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
const trend = new Trend('basket_value'), rate = new Rate('paid'), counter = new Counter('items'), gauge = new Gauge('open');
export const options = { summaryTrendStats: ['avg', 'min', 'med', 'max', 'p(90)', 'p(95)', 'p(99)', 'count'] };
export default function () {
  for (const path of ['list', 'item', 'missing']) {
    const answer = http.get(`${__ENV.URL}${path}?q=${Math.random()}`, { tags: { name: path } });
    check(answer, { 'is there': (r) => r.status === 200 }, { path });
  }
  group('basket', () => {
    for (let i = 0; i < 25; i++) {
      trend.add(Math.exp(10 * Math.random()) - 2000, { size: i % 2 ? 'odd' : 'even' });
      rate.add(Math.random() < 0.9); counter.add(i); gauge.add(i);
    }
    check(null, { 'is full': () => Math.random() < 0.5 });
  });
}
"""
_ITERATIONS = 1600  # 30 points of three requests and 101 of its own each, and some of k6 itself
_ENDPOINT = ("name", "method", "status")
_FIGURES = ("n", "sum", "min", "max", "avg", "p50", "p90", "p95", "p99")


class _Site(asyncio.Protocol):
    """Keeps connections, and answers 404 to what is missing: a Python web server would be the bottleneck."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        status = b"404 Not Found" if data.startswith(b"GET /missing") else b"200 OK"
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")


@asynccontextmanager
async def _serving() -> AsyncIterator[str]:
    server = await asyncio.get_running_loop().create_server(_Site, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.timeout(150)
async def test_every_aggregate_is_what_k6s_own_file_gives(bench: Bench, tmp_path: Path) -> None:
    """Count, sum, extremes, mean and percentiles of every row of every kind; checks, errors, k6's summary too."""
    (tmp_path / "shop.js").write_text(_SCRIPT)
    truth = tmp_path / "truth.json.gz"
    async with _serving() as url:
        config = RunConfig(
            bootstrap=bench.kafka,
            topics=bench.topics,
            tenant_id=bench.tenant,
            arguments=[
                "--quiet", "--vus", "4", "--iterations", str(_ITERATIONS), "-e", f"URL={url}",
                "--out", f"json={truth}", str(tmp_path / "shop.js"),
            ],
            environment=dict(os.environ),
            spool=tmp_path / "spool",
            execution_id=uuid4(),
        )  # fmt: skip
        with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
            result = await run_k6(config, say=lambda _: None)
            await bench.arrived(result.sent)
    assert result.sent >= 200_000

    events = [
        RUN_EVENT.validate_json(record.value)
        for record in await records_of(bench.kafka, bench.topics.run_events)
    ]
    pool = await connect_pool(bench.dsn, role="headrace_writer", application="test")
    async with pool:
        runs = RunStore(pool)
        for event in events:
            await runs.record(event)
        await runs.aggregate(config.execution_id)
        await runs.clean_up(config.execution_id)
    rows = await _of(bench, "k6_aggregates", config)
    lines = gzip.decompress(truth.read_bytes()).splitlines()
    points = [one for one in map(json.loads, lines) if one["type"] == "Point"]
    assert len(points) == result.sent
    _compare(rows, points)
    assert {(c["group_name"], c["check_name"]): (c["passes"], c["fails"]) for c in await _of(
        bench, "run_checks", config
    )} == _checks(points)  # fmt: skip
    [error] = await _of(bench, "run_errors", config)
    assert (error["name"], error["status"], error["error_code"], error["n"]) == (
        "missing", "404", "1404", _ITERATIONS,
    )  # fmt: skip
    [finished] = [event for event in events if isinstance(event, RunFinished)]
    assert finished.summary is not None
    _compare_with_summary(
        {r["metric"]: r for r in rows if r["kind"] == "summary"}, finished.summary
    )


def _compare(rows: list[asyncpg.Record], points: list[dict[str, Any]]) -> None:
    groups: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for point in points:
        metric, data = point["metric"], point["data"]
        for key in _places(metric, data["time"][:19], data["tags"]):
            groups[key].append(data["value"])
    found = {
        (
            row["kind"],
            f"{row['bucket']:%Y-%m-%dT%H:%M:%S}" if row["bucket"] else None,
            row["metric"],
            *(row[column] for column in _ENDPOINT),
        ): row
        for row in rows
    }
    assert found.keys() == groups.keys()
    for key, listed in groups.items():
        row, values = found[key], np.array(listed)
        wanted = [
            len(values), values.sum(), values.min(), values.max(), values.mean(),
            *np.percentile(values, [50, 90, 95, 99], method="linear"),
        ]  # fmt: skip
        # A sum of values of both signs can be near 0: its error is relative to what was added.
        np.testing.assert_allclose(
            [row[column] for column in _FIGURES],
            wanted,
            rtol=1e-9,
            atol=1e-12 * float(np.abs(values).sum()),
        )
        if row["sketch"] is not None:
            _compare_sketch(row["sketch"], values)
    sketched = {row["metric"] for row in rows if row["sketch"] is not None}
    assert {"basket_value", "http_req_duration", "iteration_duration"} <= sketched
    assert not sketched & {"http_reqs", "paid", "items", "open", "checks", "vus"}


def _places(metric: str, second: str, tags: dict[str, str]) -> Iterator[tuple[object, ...]]:
    endpoint = tuple(tags.get(label) for label in _ENDPOINT)
    nowhere = (None, None, None)
    yield ("bucket", second, metric, *endpoint)
    yield ("total", second, metric, *nowhere)
    yield ("summary", None, metric, *nowhere)
    if any(label is not None for label in endpoint):
        yield ("endpoint", None, metric, *endpoint)
    if metric == "http_reqs":
        yield ("total", second, metric, None, None, tags["status"])


def _compare_sketch(sketch: bytes, values: NDArray[np.float64]) -> None:
    told, [read] = decode([0], [sketch]).percentiles([0, 0.5, 0.95, 1])
    ranks = [
        np.percentile(values, [0, 50, 95, 100], method=m) for m in ("linear", "lower", "higher")
    ]
    # Between two ranks the error is that of the larger of both.
    allowed = 0.01 * np.abs(ranks[1:]).max(axis=0) * (1 + 1e-9)
    assert told == [len(values)]
    assert (np.abs(read - ranks[0]) <= allowed).all()


def _checks(points: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for point in points:
        if point["metric"] == "checks":
            tags = point["data"]["tags"]
            found[tags["group"], tags["check"]][point["data"]["value"] == 0] += 1
    return {key: (passes, fails) for key, (passes, fails) in found.items()}


def _compare_with_summary(rows: dict[str, Any], summary: dict[str, Any]) -> None:
    """k6's end-of-test summary; times in it are as exact as in its file."""
    told = summary["metrics"]
    for metric in ("http_req_duration", "http_req_waiting", "iteration_duration", "basket_value"):
        names = {
            "avg": "avg",
            "min": "min",
            "med": "p50",
            "max": "max",
            "p(90)": "p90",
            "p(95)": "p95",
            "p(99)": "p99",
        }
        for name, column in names.items():
            assert rows[metric][column] == pytest.approx(told[metric][name], rel=1e-9), (
                metric,
                name,
            )
    for metric in ("http_reqs", "iterations", "items", "data_received", "data_sent"):
        assert rows[metric]["sum"] == pytest.approx(told[metric]["count"], rel=1e-12), metric
    for metric in ("checks", "paid"):
        assert (rows[metric]["sum"], rows[metric]["n"]) == (
            told[metric]["passes"], told[metric]["passes"] + told[metric]["fails"],
        )  # fmt: skip


async def _of(bench: Bench, table: str, config: RunConfig) -> list[asyncpg.Record]:
    query = f"SELECT * FROM {table} WHERE execution_id = $1"  # noqa: S608 - names are ours
    return list(await bench.pool.fetch(query, config.execution_id))
