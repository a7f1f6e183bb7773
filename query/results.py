"""Reads all that summaries and reports show of one run, through the tenant views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

import msgspec

from query import sketches
from query.baselines import NoRun
from query.database import Reading, Rows
from query.run_figures import PHASES, length

MOST_LISTED = 1000
"""Endpoints, checks and errors, each."""
INTERVALS = 600
"""Of a chart: a point for every other pixel."""
_SHARES = (0.5, 0.9, 0.95, 0.99)
_COLUMNS = ("p50", "p90", "p95", "p99")
_CHARTED = (
    "http_reqs",
    "http_req_failed",
    "http_req_duration",
    "vus",
    *PHASES,
)


@dataclass(frozen=True)
class Result:
    """A run and its figures; rows are mappings of their columns."""

    run: Mapping[str, Any]
    """Its row; the JSON columns are decoded."""
    seconds: float | None
    metrics: Rows
    last: Mapping[str, float]
    """Of gauges, by metric."""
    checks: Rows
    endpoints: Rows = ()
    errors: Rows = ()
    times: Sequence["Interval"] = ()


@dataclass(frozen=True)
class Interval:
    """What happened in some seconds; figures are by metric, requests also by status."""

    at: datetime
    seconds: int
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, float] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    """p50, p90, p95 and p99 of http_req_duration."""


async def summary(reading: Reading, execution_id: UUID) -> Result:
    """What an end-of-test summary shows. Raises NoRun."""
    rows = await reading.rows("find_run", execution_id)
    if not rows:
        raise NoRun(f"You have no run {execution_id}.")
    decoded = {
        name: msgspec.json.decode(rows[0][name])
        for name in ("metrics", "thresholds", "runners", "tags")
    }
    run = {**rows[0], **decoded}
    gauges = [name for name, kind in run["metrics"].items() if kind == "gauge"]
    return Result(
        run=run,
        seconds=length(run["runners"]),
        metrics=await reading.rows("result_metrics", execution_id),
        last={
            row["metric"]: row["max"]
            for row in await reading.rows("result_last", execution_id, gauges)
        },
        checks=await reading.rows("result_checks", execution_id, MOST_LISTED),
    )


async def report(reading: Reading, execution_id: UUID) -> Result:
    """What a report shows: beside the summary its tables, and the run over time. Raises NoRun."""
    found = await summary(reading, execution_id)
    began = found.run["started_at"]
    took = (found.run["finished_at"] or began) - began
    width = max(1, ceil(took / timedelta(seconds=1) / INTERVALS))
    rows = await reading.rows("result_times", execution_id, width, began, list(_CHARTED))
    return Result(
        found.run,
        found.seconds,
        found.metrics,
        found.last,
        found.checks,
        endpoints=await reading.rows("result_endpoints", execution_id, MOST_LISTED),
        errors=await reading.rows("result_errors", execution_id, MOST_LISTED),
        times=_intervals(rows, width),
    )


def _intervals(rows: Rows, width: int) -> list[Interval]:
    found: dict[datetime, Interval] = {}
    for row in rows:
        one = found.setdefault(row["at"], Interval(row["at"], width))
        metric = row["metric"]
        if row["status"] is not None:
            one.statuses[row["status"]] = row["sum"]
            continue
        one.sums[metric], one.counts[metric] = row["sum"], row["n"]
        if metric == "http_req_duration":
            one.durations.update(_durations(row, width))
    return list(found.values())


def _durations(row: Any, width: int) -> dict[str, float]:
    if width == 1:
        return {name: row[name] for name in _COLUMNS}
    kept = row["sketches"] or []
    _, values = sketches.decode([0] * len(kept), kept).percentiles(_SHARES)
    return dict(zip(_COLUMNS, values[0], strict=True)) if values else {}
