"""Routes of load-test runs: the list, one run, and what it came to."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

from query import cursors, summaries
from query.answers import Answer
from query.credentials import Tenant
from query.database import Reading
from query.k6 import headlines
from query.k6.figures import figures
from query.k6.headlines import RunHeadline
from query.parameters import (
    NO_LABELS,
    CursorText,
    ExecutionId,
    Limit,
    Moment,
    RunTags,
    State,
    TestName,
    Verdict,
    tags_of,
)
from query.parts import Wired
from query.summaries import Run, Summary
from schemas.problems import described

router = APIRouter(
    prefix="/api/v1/runs", tags=["runs"], responses=described(401, 403, 422, 503, 504)
)


class RunPage(Answer):
    """Runs, the newest first."""

    runs: list[RunHeadline]
    next_cursor: str | None = Field(description="of the page with older runs; null on the last")


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    started_at: cursors.Moment
    execution_id: UUID


@router.get("", summary="Runs, the newest first")
async def list_runs(
    *,
    parts: Wired,
    tenant: Tenant,
    test: TestName = None,
    state: Annotated[State | None, Query(description="Only runs in this state.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only runs judged so.")] = None,
    tag: RunTags = NO_LABELS,
    start: Annotated[Moment | None, Query(description="Only runs started from then on.")] = None,
    end: Annotated[Moment | None, Query(description="Only runs started before.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> RunPage:
    """Page through runs, each with the figures that it is known by once it is aggregated."""
    request = (test, state, verdict, tags_of(tag), start, end)
    after = cursors.after(cursor, _Position, *request)
    started_at, execution_id = (after.started_at, after.execution_id) if after else (None, None)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("list_runs", *request, started_at, execution_id, limit + 1)
        more, rows = len(rows) > limit, rows[:limit]
        ids = [row["execution_id"] for row in rows]
        summaries_of = await reading.rows("k6_summaries", ids, headlines.HEADLINES, True)
    found, _ = await figures(summaries_of)
    runs = headlines.of_runs(rows, headlines.by_run(summaries_of, found))
    last = _Position(runs[-1].started_at, runs[-1].execution_id) if more else None
    return RunPage(runs=runs, next_cursor=cursors.following(last, *request))


@router.get("/{execution_id}", summary="One run", responses=described(404))
async def get_run(parts: Wired, tenant: Tenant, execution_id: ExecutionId) -> Run:
    """Show what is known of a run: its runners, metrics, thresholds and points."""
    async with parts.database.reading(tenant) as reading:
        return await _run(reading, execution_id)


@router.get(
    "/{execution_id}/summary",
    summary="What a run came to",
    responses={**described(404), 202: {"model": Summary, "description": "Not aggregated yet"}},
)
async def get_summary(
    parts: Wired, tenant: Tenant, execution_id: ExecutionId, response: Response
) -> Summary:
    """Sum a run up from its aggregates.

    Answers 202 while the run goes on or is being aggregated: `state` says which, and the figures
    are null. Ask again later.
    """
    async with parts.database.reading(tenant) as reading:
        run = await _run(reading, execution_id)
        metrics = await reading.rows("run_metrics", execution_id)
        endpoints = await reading.rows("run_endpoints", execution_id)
    if run.state in {"running", "aggregating"}:
        response.status_code = 202
    return summaries.summary(run, metrics, endpoints)


async def _run(reading: Reading, execution_id: UUID) -> Run:
    rows = await reading.rows("get_run", execution_id)
    if not rows:
        raise HTTPException(404, f"You have no run {execution_id}.")
    (points,) = await reading.rows("run_points", execution_id)
    return summaries.run(rows[0], points)
