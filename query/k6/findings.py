"""Routes of what went wrong: errors, checks and thresholds."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from query.answers import Answer
from query.database import Rows
from query.k6.answers import RESPONSES, Ask, OfRuns, next_cursor, of_runs, offset_of
from query.k6.runs import Runs
from query.k6.series import Name
from query.k6.tables import table
from query.parameters import CursorText, Limit
from query.representations import TABULAR
from schemas.definitions import Storable

router = APIRouter(prefix="/api/v1/k6", tags=["load tests"], responses=RESPONSES)


class ErrorRow(Answer):
    """Requests that failed in the same way."""

    name: str = Field(examples=["GET /items"])
    method: str
    status: str = Field(description="0 when no response came", examples=["503"])
    error_code: str = Field(
        description="k6's: 1000 and the status, or of the transport", examples=["1503"]
    )
    error: str
    n: int
    first_at: datetime
    last_at: datetime
    runs: int = Field(description="in how many runs")


class ErrorTable(OfRuns):
    """Errors, the most frequent first."""

    errors: list[ErrorRow]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class CheckRow(Answer):
    """A check of a group."""

    group: str = Field(examples=["::checkout"])
    check: str = Field(examples=["status is 200"])
    passes: int
    fails: int
    rate: float | None = Field(description="share of passes, 0 to 1")
    runs: int = Field(description="that made it")
    failed_runs: int = Field(description="in which it failed at least once")


class CheckTable(OfRuns):
    """Checks, those that failed the most first."""

    checks: list[CheckRow]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class ThresholdRow(Answer):
    """A threshold of a test, over the runs that were judged by it."""

    test: str
    metric: str = Field(examples=["http_req_duration{name:list}"])
    expression: str = Field(examples=["p(95)<500"])
    execution_id: UUID = Field(description="of the newest of the runs")
    observed: float | None = Field(description="in the newest run")
    passed: bool | None = Field(description="by the newest run; null until it is judged")
    k6_passed: bool | None = Field(description="k6's own verdict of the newest run, where it told")
    runs: int
    failed_runs: int
    last_failed_at: datetime | None = Field(description="start of the newest run that crossed it")
    observed_min: float | None
    observed_max: float | None


class ThresholdTable(OfRuns):
    """Thresholds by test, metric and expression."""

    thresholds: list[ThresholdRow]


_Status = Annotated[
    Storable | None, Query(max_length=64, description="Only requests with this status.")
]
_Code = Annotated[
    Storable | None, Query(max_length=64, description="Only errors with this code of k6.")
]


@router.get("/tables/errors", summary="Errors", response_model=ErrorTable, responses=TABULAR)
async def error_table(
    *,
    asked: Ask,
    endpoint: Name = None,
    status: _Status = None,
    error_code: _Code = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Page through requests that failed, by endpoint, status and code, with the first and last seen."""
    request = (asked.filters, endpoint, status, error_code)
    offset = offset_of(cursor, *request)
    async with asked.runs() as (reading, runs):
        rows = await reading.rows("k6_errors", runs.ids, *request[1:], offset, limit + 1)
    errors = [ErrorRow(**row) for row in rows[:limit]]
    following = next_cursor(offset, limit, len(rows), *request)
    answer = ErrorTable(**of_runs(runs), errors=errors, next_cursor=following)
    return asked.respond(answer, "errors", lambda: table(ErrorRow, errors))


@router.get("/checks", summary="Checks", response_model=CheckTable, responses=TABULAR)
async def check_table(*, asked: Ask, limit: Limit = 100, cursor: CursorText = None) -> Response:
    """Page through checks by group, over all the runs together."""
    offset = offset_of(cursor, asked.filters)
    async with asked.runs() as (reading, runs):
        rows = await reading.rows("k6_checks", runs.ids, offset, limit + 1)
    checks = [
        CheckRow(
            group=row["group_name"],
            check=row["check_name"],
            passes=row["passes"],
            fails=row["fails"],
            rate=row["passes"] / made if (made := row["passes"] + row["fails"]) else None,
            runs=row["runs"],
            failed_runs=row["failed_runs"],
        )
        for row in rows[:limit]
    ]
    following = next_cursor(offset, limit, len(rows), asked.filters)
    answer = CheckTable(**of_runs(runs), checks=checks, next_cursor=following)
    return asked.respond(answer, "checks", lambda: table(CheckRow, checks))


@router.get("/thresholds", summary="Thresholds", response_model=ThresholdTable, responses=TABULAR)
async def threshold_table(asked: Ask) -> Response:
    """Show how the newest run did by each threshold, and in how many of the runs it was crossed."""
    async with asked.runs() as (reading, runs):
        rows = await reading.rows("k6_thresholds", runs.ids)
    thresholds = list(_thresholds(runs, rows))
    answer = ThresholdTable(**of_runs(runs), thresholds=thresholds)
    return asked.respond(answer, "thresholds", lambda: table(ThresholdRow, thresholds))


class _Judgement(msgspec.Struct):
    metric: str
    expression: str
    observed: float | None = None
    passed: bool | None = None
    k6_passed: bool | None = None


_decode = msgspec.json.Decoder(list[_Judgement]).decode


def _thresholds(runs: Runs, rows: Rows) -> Iterable[ThresholdRow]:
    stored = {row["execution_id"]: row["thresholds"] for row in rows}
    # Runs come newest first, and so do the judgements by each threshold.
    judged: dict[tuple[str, str, str], list[tuple[_Judgement, UUID, datetime]]] = {}
    for run in runs.rows:
        for one in _decode(stored[run["execution_id"]]):
            key = (run["test"], one.metric, one.expression)
            judged.setdefault(key, []).append((one, run["execution_id"], run["started_at"]))
    for (test, metric, expression), history in sorted(judged.items()):
        newest, execution_id, _ = history[0]
        crossed = [at for one, _, at in history if one.passed is False]
        observed = [one.observed for one, _, _ in history if one.observed is not None]
        yield ThresholdRow(
            test=test,
            metric=metric,
            expression=expression,
            execution_id=execution_id,
            observed=newest.observed,
            passed=newest.passed,
            k6_passed=newest.k6_passed,
            runs=len(history),
            failed_runs=len(crossed),
            last_failed_at=crossed[0] if crossed else None,
            observed_min=min(observed, default=None),
            observed_max=max(observed, default=None),
        )
