"""Thresholds of a run by several runners: judged on all points, in k6's own semantics."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from schemas.runs import RunFinished, RunStarted, Threshold
from sinks.database import connect_pool
from sinks.runs import RunStore
from tests.ingestion import Bench
from tests.stored_runs import BEGAN, GROUP
from workflows.metrics import Metrics
from workflows.post_test.activities import PostTestActivities
from workflows.post_test.types import PostTest

_KINDS = {"latency": "trend", "orders": "counter", "failed": "rate", "vus": "gauge"}
_POINTS = {
    # Each runner's latencies, a hundred of them, ascending by time; half of the second's are tagged.
    ("a", "latency", "list"): [float(n) for n in range(1, 101)],
    ("b", "latency", "list"): [float(n) for n in range(201, 301, 2)],
    ("b", "latency", "get"): [float(n) for n in range(202, 301, 2)],
    ("a", "orders", "list"): [1.0] * 100,
    ("b", "orders", "list"): [2.0] * 50,
    ("a", "failed", "list"): [0.0] * 100,
    ("b", "failed", "list"): [0.0, 1.0] * 50,
    ("a", "vus", "list"): [5.0] * 10,
    ("b", "vus", "list"): [3.0] * 9 + [7.0],
}
_JUDGED = [
    # threshold, what k6 said at a and at b, the value over all points, the verdict
    ("latency", "p(95)<291", True, False, 290.05, True),
    ("latency", "med<120", True, False, 150.5, False),
    ("latency", "avg<150", True, False, 150.5, False),
    ("latency", "min<2", True, False, 1.0, True),
    ("latency", "max<300", True, False, 300.0, False),
    ("latency{name:list}", "p(90)<269", True, False, 269.2, False),
    ("orders", "count>=200", False, False, 200.0, True),
    # Over the longest runner, b's 20 s: neither the sum of both rates nor one of them.
    ("orders", "rate>=10", True, False, 10.0, True),
    ("failed", "rate<0.3", True, False, 0.25, True),
    # The last by time is b's, whoever's event came last.
    ("vus", "value==7", False, True, 7.0, True),
]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
async def test_the_merged_verdict_differs_from_a_runners_own(
    bench: Bench, order: tuple[str, str]
) -> None:
    """Each kind of metric is judged on the points of both; the order in which they finish does not matter."""
    execution = uuid4()
    await _store(bench, execution)
    pool = await connect_pool(bench.dsn, role="headrace_writer", application="test")
    async with pool:
        runs = RunStore(pool)
        for runner in order:
            await runs.record(
                RunStarted(
                    execution_id=execution, tenant_id=bench.tenant, at=BEGAN, runner=runner,
                    test="shop", script="shop.js", runners_expected=2,
                )
            )  # fmt: skip
        for runner in order:
            await runs.record(
                RunFinished(
                    execution_id=execution, tenant_id=bench.tenant, runner=runner, topic="t", sent=[],
                    at=BEGAN + timedelta(seconds=10 if runner == "a" else 20),
                    exit_code=99,
                    metrics=_KINDS,
                    thresholds=[
                        Threshold(metric=metric, expression=text, k6_passed=a if runner == "a" else b)
                        for metric, text, a, b, _, _ in _JUDGED
                    ],
                )
            )  # fmt: skip
        steps = PostTestActivities(runs, Metrics(CollectorRegistry()))
        assert await steps.evaluate(PostTest(execution, GROUP)) == "failed"
    text = await bench.pool.fetchval(
        "SELECT thresholds FROM runs WHERE execution_id = $1", execution
    )
    found = {(one["metric"], one["expression"]): one for one in json.loads(text)}
    for metric, expression, at_a, at_b, observed, passed in _JUDGED:
        one = found[metric, expression]
        assert one["observed"] == pytest.approx(observed, rel=1e-12), (metric, expression)
        assert (one["passed"], one["k6_passed"]) == (passed, at_a and at_b), (metric, expression)


async def _store(bench: Bench, execution: object) -> None:
    await bench.pool.execute("SELECT ensure_executions($1)", [execution])
    for (runner, metric, name), values in _POINTS.items():
        series = await bench.pool.fetchval(
            "INSERT INTO series (tenant_id, name, labels, fingerprint) "
            "VALUES ($1, $2::text, $3::text::jsonb, decode(md5($2::text || $3::text), 'hex')) "
            "ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET name = excluded.name RETURNING series_id",
            bench.tenant,
            metric,
            json.dumps({"name": name}),
        )
        length = timedelta(seconds=10 if runner == "a" else 20)
        await bench.pool.executemany(
            "INSERT INTO k6_samples (ts, execution_id, series_id, value) VALUES ($1, $2, $3, $4)",
            [
                (BEGAN + length * (n + 1) / len(values), execution, series, value)
                for n, value in enumerate(values)
            ],
        )
