"""Routes of cards: what runs came to together, tests at a glance, and one run in full."""

from collections import Counter
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import Field

from query import cursors
from query.answers import Answer
from query.credentials import Tenant
from query.database import Reading
from query.k6 import headlines
from query.k6.answers import RESPONSES, Ask, Asked, Judged, OfRuns, of_runs
from query.k6.figures import UNKNOWN, Exactness, figures
from query.k6.headlines import HEADLINES, METRICS, Cards, RunHeadline, cards
from query.k6.runs import Filters, Runs, seconds_of
from query.k6.tables import table
from query.parameters import CursorText, ExecutionId
from query.parts import Wired
from query.representations import TABULAR, Accepted
from query.summaries import RunFacts, facts
from schemas.problems import described

router = APIRouter(prefix="/api/v1/k6", tags=["load tests"], responses=RESPONSES)


class Stats(Cards):
    """What runs came to together."""

    passed: int = Field(description="runs judged so")
    failed: int = Field(description="runs judged so")
    unjudged: int


class StatsOfRuns(Judged):
    """Cards of a selection of runs."""

    stats: list[Stats] = Field(description="one; none when there are no runs")


class MetricFigures(Answer):
    """A metric over a whole run; percentiles are null but of trends, as are those that are not known."""

    metric: str = Field(examples=["http_req_waiting"])
    type: str | None = Field(description="counter, gauge, rate or trend, as k6 has it")
    n: int
    sum: float
    avg: float = Field(description="of a rate, the share that is not zero")
    min: float
    max: float
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class Peak(Answer):
    """The second with the most requests."""

    at: datetime
    rps: float


class ExecutionStats(OfRuns):
    """A run in full."""

    run: RunFacts
    cards: Cards
    peak: Peak | None = Field(description="null of a run without requests")
    statuses: dict[str, float] = Field(description="requests by status; 0: no response came")
    metrics: list[MetricFigures]


class OverviewRow(RunHeadline):
    """A test: its last run, and what the last runs came to."""

    trend: list[RunHeadline] = Field(
        description="the last runs, oldest first; the last of them is the run"
    )


class Overview(Answer):
    """Tests, the one that ran last first."""

    tests: list[OverviewRow]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    last_at: cursors.Moment
    test: str


@router.get("/stats", summary="What runs came to", response_model=StatsOfRuns, responses=TABULAR)
async def stats(asked: Ask) -> Response:
    """Take runs together: sums of counts, rates over the time of all, percentiles merged from sketches."""
    async with asked.runs() as (reading, runs):
        rows = await reading.rows("k6_whole", runs.ids, METRICS)
    found, known = await figures(rows)
    together = {row["metric"]: one for row, one in zip(rows, found, strict=True)}
    took = together.get("http_req_duration")
    exactness = Exactness(known.merged, took is not None and took.percentiles is None)
    verdicts = Counter(row["verdict"] for row in runs.rows)
    one = Stats(
        **cards(together, runs.seconds),
        passed=verdicts["passed"],
        failed=verdicts["failed"],
        unjudged=verdicts[None],
    )
    shown = [one] if runs.rows else []
    answer = StatsOfRuns(**of_runs(runs), **exactness.fields(), stats=shown)
    return asked.respond(answer, "stats", lambda: table(Stats, shown))


@router.get(
    "/executions/{execution_id}/stats",
    summary="A run in full",
    response_model=ExecutionStats,
    responses={**TABULAR, **described(404)},
)
async def execution_stats(
    *, request: Request, parts: Wired, accepted: Accepted, tenant: Tenant, execution_id: ExecutionId
) -> Response:
    """Show all metrics of a run, its phases among them, its requests by status and its peak."""
    filters = Filters(execution_id=execution_id)
    asked = Asked(request, parts, tenant, accepted, filters, parts.clock())
    async with asked.runs() as (reading, runs):
        if not runs.rows:
            raise HTTPException(404, f"You have no run {execution_id}.")
        rows = await reading.rows("k6_summaries", runs.ids, None, True)
        statuses = await reading.rows("k6_statuses", runs.ids)
        (run,) = await reading.rows("get_run", execution_id)
        peak = await _peak(reading, runs)
    found, _ = await figures(rows)
    types: dict[str, str] = msgspec.json.decode(run["metrics"])
    by_metric = {row["metric"]: one for row, one in zip(rows, found, strict=True)}
    metrics = [
        MetricFigures(
            metric=metric,
            type=types.get(metric),
            n=one.n,
            sum=one.sum,
            avg=one.mean,
            min=one.min,
            max=one.max,
            **(one.named if types.get(metric, "trend") == "trend" else UNKNOWN),
        )
        for metric, one in sorted(by_metric.items())
    ]
    answer = ExecutionStats(
        **of_runs(runs),
        run=RunFacts(**facts(run)),
        cards=Cards(**cards(by_metric, seconds_of(run) or 0.0)),
        peak=peak,
        statuses={row["status"] or "": row["requests"] for row in statuses},
        metrics=metrics,
    )
    return asked.respond(answer, "metrics", lambda: table(MetricFigures, metrics))


@router.get("/overview", summary="Tests at a glance", response_model=Overview, responses=TABULAR)
async def overview(
    *,
    request: Request,
    parts: Wired,
    accepted: Accepted,
    tenant: Tenant,
    last: Annotated[int, Query(ge=1, le=100, description="Runs of each test's trend.")] = 10,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most tests in the answer.")] = 100,
    cursor: CursorText = None,
) -> Response:
    """Show each test's last run and verdict, and how requests, errors and p95 went over the last runs."""
    after = cursors.after(cursor, _Position, last)
    asked = Asked(request, parts, tenant, accepted, Filters(), parts.clock())
    async with parts.database.reading(tenant) as reading:
        position = (after.last_at, after.test) if after else (None, None)
        runs = await reading.rows("k6_overview", last, limit + 1, *position)
        asked.version(*runs)
        ids = [row["execution_id"] for row in runs]
        rows = await reading.rows("k6_summaries", ids, HEADLINES, True)
    found, _ = await figures(rows)
    tests: dict[str, list[RunHeadline]] = {}
    for run in headlines.of_runs(runs, headlines.by_run(rows, found)):
        tests.setdefault(run.test, []).append(run)
    shown = [
        OverviewRow(**history[0].model_dump(), trend=history[::-1])
        for history in list(tests.values())[:limit]
    ]
    end = _Position(shown[-1].started_at, shown[-1].test) if len(tests) > limit else None
    answer = Overview(tests=shown, next_cursor=cursors.following(end, last))
    return asked.respond(answer, "tests", lambda: table(OverviewRow, shown))


async def _peak(reading: Reading, runs: Runs) -> Peak | None:
    # A run that was aggregated before there were totals has seconds of endpoints only.
    for kind in ("total", "bucket"):
        for row in await reading.rows("k6_peak", runs.only, kind):
            return Peak(at=row["at"], rps=row["requests"])
    return None
