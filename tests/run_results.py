"""Runs as the aggregation leaves them in the database: every kind of row, of as many nights as wanted."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from query.results import Interval, Result

FIRST = datetime(2026, 5, 1, 2, tzinfo=UTC)
SECONDS = 1800.0
HOSTILE = "<img src=x onerror=alert(1)>'\"</script><script>alert(2)</script>`|\x1b[2J\u202e"
TYPES = {
    "http_req_duration": "trend",
    "checkout_seconds": "trend",
    "http_reqs": "counter",
    "http_req_failed": "rate",
    "checks": "rate",
    "vus": "gauge",
}
_FIGURES = ("n", "sum", "min", "max", "avg", "p50", "p90", "p95", "p99")


@dataclass(frozen=True)
class Night:
    """A run to store; `rows` are its aggregates of kinds summary and endpoint."""

    rows: Sequence[Mapping[str, Any]]
    number: int = 0
    test: str = "checkout"
    verdict: str = "passed"
    seconds: float = SECONDS


async def store(pool: "asyncpg.Pool[asyncpg.Record]", tenant: UUID, night: Night) -> UUID:
    """Store a finished run; the night's number says when it was."""
    execution, at = uuid4(), FIRST + night.number * timedelta(days=1)
    end = at + timedelta(seconds=night.seconds)
    events = {
        "started": {"at": at.isoformat()},
        "finished": {"at": end.isoformat(), "summary": None, "exit_code": 0, "sent": []},
    }
    await pool.execute(
        "INSERT INTO runs (execution_id, tenant_id, test, script, state, started_at, finished_at, runners, "
        "metrics, thresholds, verdict) VALUES ($1, $2, $3, 'x.js', 'finished', $4, $5, $6, $7, $8, $9)",
        execution,
        tenant,
        night.test,
        at,
        end,
        json.dumps({"runner": events}),
        json.dumps(TYPES),
        json.dumps(THRESHOLDS),
        night.verdict,
    )
    await pool.executemany(
        "INSERT INTO k6_aggregates (execution_id, kind, metric, name, method, status, n, sum, min, max, "
        "avg, p50, p90, p95, p99) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        [
            (
                execution,
                "summary" if row["name"] is None else "endpoint",
                *(row[column] for column in ("metric", "name", "method", "status", *_FIGURES)),
            )
            for row in night.rows
        ],
    )
    return execution


THRESHOLDS = [
    {
        "metric": "http_req_duration",
        "expression": "p(95)<500",
        "abort_on_fail": False,
        "observed": 312.4567,
        "passed": True,
        "k6_passed": True,
    },
    {
        "metric": "http_req_failed{name:list}",
        "expression": "rate<0.01",
        "abort_on_fail": True,
        "observed": 0.0234,
        "passed": False,
        "k6_passed": None,
    },
]


async def store_times(
    pool: "asyncpg.Pool[asyncpg.Record]", execution: UUID, at: datetime, seconds: int
) -> None:
    """Store what each second of the run came to: ten requests, one of them failed, of 5 to 14 ms."""
    await pool.execute(
        "INSERT INTO k6_aggregates (execution_id, kind, bucket, metric, status, n, sum, min, max, avg, "
        "p50, p90, p95, p99, sketch) "
        "SELECT $1, 'total', $2::timestamptz + s * interval '1 second', m.metric, m.status, m.n, m.sum, 0, "
        "14, m.sum / m.n, 9.5, 13.1, 13.55, 13.91, m.sketch FROM generate_series(0, $3 - 1) s, (VALUES "
        "('http_reqs', NULL, 10, 10.0, NULL), ('http_reqs', '200', 9, 9.0, NULL), "
        "('http_reqs', '500', 1, 1.0, NULL), ('http_req_failed', NULL, 10, 1.0, NULL), "
        "('vus', NULL, 1, 4.0, NULL), ('http_req_waiting', NULL, 10, 90.0, NULL), "
        "('http_req_duration', NULL, 10, 95.0, (SELECT string_agg(int4send(sketch_key(v)) || int8send(1), "
        "  '' ORDER BY sketch_key(v)) FROM generate_series(5, 14) v))) AS m (metric, status, n, sum, sketch)",
        execution,
        at,
        seconds,
    )


def trend(metric: str, scale: float = 1.0, **place: str | None) -> dict[str, Any]:
    """A row of a trend."""
    figures = (1000, 95_000.0, 0.9, 812.0, 95.0, 80.0, 180.0, 250.0, 400.0)
    scaled = (figures[0], *(scale * one for one in figures[1:]))
    nowhere = {"name": None, "method": None, "status": None}
    return {"metric": metric, **nowhere, **place, **dict(zip(_FIGURES, scaled, strict=True))}


def count(metric: str, n: int, total: float) -> dict[str, Any]:
    """A row of a counter, a rate or a gauge."""
    return {**trend(metric), "n": n, "sum": total, "avg": total / n, "min": 1.0, "max": 25.0}


def result(
    *,
    name: str = "/items",
    endpoints: int = 3,
    seconds: int = 300,
    verdict: str | None = "passed",
    empty: bool = False,
) -> Result:
    """A run in memory; `name` begins the texts that a script chooses."""
    run: dict[str, Any] = {
        "execution_id": UUID(int=7),
        "test": f"checkout {name}" if name != "/items" else "checkout",
        "script": "checkout.js",
        "state": "running" if empty else "finished",
        "verdict": verdict,
        "started_at": FIRST,
        "finished_at": None if empty else FIRST + timedelta(seconds=seconds),
        "metrics": TYPES,
        "thresholds": [] if empty else [{**one, "metric": _named(one, name)} for one in THRESHOLDS],
        "runners": {"load-1": {}, "load-2": {}},
        "tags": {"branch": name},
        "incomplete": f"{name} never ended" if verdict == "failed" else None,
    }
    if empty:
        return Result(run, None, [], {}, [])
    return Result(
        run=run,
        seconds=float(seconds),
        metrics=[
            trend("http_req_duration"),
            trend("checkout_seconds", 0.01),
            count("http_reqs", 6000, 6000.0),
            count("http_req_failed", 6000, 120.0),
            count("checks", 6000, 5990.0),
            count("vus", 300, 6000.0),
            count("iterations", 3000, 3000.0),
        ],
        last={"vus": 3.0},
        checks=[
            {
                "group_name": "::shop::pay",
                "check_name": f"{name} paid",
                "passes": 2990,
                "fails": 10,
            },
            {"group_name": "", "check_name": "status is 200", "passes": 3000, "fails": 0},
        ],
        endpoints=list(_endpoints(name, endpoints)),
        errors=[
            {
                "name": name,
                "method": "POST",
                "status": status,
                "error_code": code,
                "error": f"{name}: connection refused",
                "n": 60,
                "first_at": FIRST,
                "last_at": FIRST + timedelta(seconds=seconds),
            }
            for status, code in (("0", "1212"), ("503", "1503"))
        ],
        times=[_interval(number, name) for number in range(seconds)],
    )


def _named(threshold: Mapping[str, Any], name: str) -> str:
    return str(threshold["metric"]).replace("name:list", f"name:{name}")


def _endpoints(name: str, n: int) -> Iterable[dict[str, Any]]:
    for number in range(n):
        row = trend("http_req_duration", 1 + number / 10, method="GET", status="200")
        yield {**row, "name": f"{name}/{number:02d}", "failed": 0.0}
    yield {**trend("http_req_duration", method="POST", status="0"), "name": name, "failed": 60.0}


def _interval(number: int, status: str) -> Interval:
    wave = 1 + 0.3 * ((number * 37 % 101) / 101)
    phases = ("blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving")
    sums = {"http_reqs": 20 * wave, "http_req_failed": 0.4 if number % 7 else 2.0, "vus": 10.0}
    sums |= {f"http_req_{phase}": 20.0 * share for share, phase in enumerate(phases, 1)}
    strange = {status: 1.0} if status != "/items" else {}
    return Interval(
        FIRST + timedelta(seconds=number),
        1,
        sums=sums,
        counts=dict.fromkeys(sums, 20) | {"vus": 1},
        statuses={"200": 18 * wave, "503": 1.0, "0": 0.5, **strange},
        durations={"p50": 80 * wave, "p90": 180 * wave, "p95": 250 * wave, "p99": 400 * wave},
    )
