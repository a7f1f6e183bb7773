"""Route of data points: raw samples or rollups, a page at a time, by the source that still has them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import Field

from query import cursors, freshness, pages, routing, samples
from query.answers import Answer
from query.credentials import Tenant
from query.database import Reading
from query.pages import Position
from query.parameters import (
    NO_LABELS,
    CursorText,
    End,
    Labels,
    Limit,
    Matchers,
    Metric,
    Resolution,
    Start,
    TimeRange,
    time_range,
)
from query.parts import Wired
from query.provenance import Sourced, degraded, described
from query.representations import LABELS, TABULAR, TIME, Accepted
from query.subject import look_up
from schemas import problems


class DataPoint(Answer):
    """A sample, or a bucket of one series."""

    timestamp: datetime = Field(description="of a bucket, where it begins")
    labels: dict[str, str] = Field(examples=[{"host": "server-1"}])
    value: float | bool | str = Field(description="of a bucket, the average", examples=[75.5])
    min: float | None = Field(description="of a bucket")
    max: float | None = Field(description="of a bucket")
    sum: float | None = Field(description="of a bucket")
    n: int | None = Field(description="of a bucket: its samples")


class DataPoints(Sourced):
    """Points of each series of a metric, the newest first."""

    agg: Resolution = Field(description="what was asked for")
    points: list[DataPoint]
    next_cursor: str | None = Field(description="of the page with older points; null on the last")


router = APIRouter(
    prefix="/api/v1/data",
    tags=["metrics"],
    responses=problems.described(400, 401, 403, 422, 503, 504),
)


@router.get(
    "/points",
    summary="Raw samples or rollups, the newest first",
    response_model=DataPoints,
    responses=TABULAR,
)
async def list_points(
    *,
    request: Request,
    parts: Wired,
    accepted: Accepted,
    tenant: Tenant,
    name: Metric,
    agg: Resolution = "raw",
    label: Labels = NO_LABELS,
    match: Matchers = NO_LABELS,
    start: Start = None,
    end: End = None,
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> Response:
    """Page through points, each series by itself.

    Where what is asked for is no longer kept at the start of the range, the finest rollup that is
    stands for all of it: `degraded_from`, `degraded_to` and `reason` say so. Rollups hold numbers:
    a metric of booleans or text has raw samples only.
    """
    now = parts.clock()
    asked_for = (name, sorted(label), sorted(match), start, end, agg)
    following = None if cursor is None else cursors.decode(cursor, Position, *asked_for)
    asked = TimeRange(following.start, following.end) if following else time_range(start, end, now)
    async with parts.database.reading(tenant, "generic") as reading:
        subject = await look_up(reading, name, label, match, asked)
        defined = subject.defined
        kept = parts.retention.kept(now, defined.retention_days)
        after = following or _first(asked, agg, kept)
        etag = freshness.etag(
            subject.state,
            request,
            tenant,
            asked=TimeRange(after.start, after.end),
            level=after.level,
            now=now,
        )
        series = await subject.series()
        rows, position = await pages.page(reading, series, after, limit)
        degradation = None if after.level == agg else routing.gone(agg, after.level, kept)
        if not rows and cursor is None and after.level != "raw":
            kind = await _kind_without_numbers(reading, series)
            if kind and agg != "raw":
                raise HTTPException(
                    400,
                    f"{name!r} measures {kind}, and rollups hold numbers only: ask with agg=raw.",
                )
            if kind:
                # What is left of the raw samples is all that there is.
                after = Position.before_all("raw", TimeRange(after.start, after.end))
                degradation = routing.gone("raw", "raw", kept)
                rows, position = await pages.page(reading, series, after, limit)
    points = [_point(row, series, after.level) for row in rows]
    answer = DataPoints(
        **described(name, defined),
        start=after.start,
        end=after.end,
        source=after.level,
        exact=True,
        relative_error=None,
        **degraded(degradation),
        agg=agg,
        points=points,
        next_cursor=position and cursors.encode(position, *asked_for),
    )
    return accepted.respond(answer, rows="points", table=lambda: _table(points), etag=etag)


def _first(asked: TimeRange, agg: Resolution, kept: routing.Kept) -> Position:
    level = routing.points(asked.start, agg, kept)
    if level != agg:
        asked = TimeRange(routing.floor(asked.start, level), routing.ceiling(asked.end, level))
    return Position.before_all(level, asked)


async def _kind_without_numbers(
    reading: Reading, series: Mapping[int, dict[str, str]]
) -> str | None:
    """What the metric measures when none of its series ended with a number."""
    values = [samples.value_of(row) for row in await samples.latest(reading, series)]
    if not values or any(type(value) is float for value in values):
        return None
    return "booleans" if all(type(value) is bool for value in values) else "text"


def _point(row: Any, series: Mapping[int, dict[str, str]], level: Resolution) -> DataPoint:
    labels = series[row["series_id"]]
    if level == "raw":
        value = samples.value_of(row)
        return DataPoint(
            timestamp=row["ts"], labels=labels, value=value, min=None, max=None, sum=None, n=None
        )
    return DataPoint(
        timestamp=row["ts"],
        labels=labels,
        value=row["v_avg"],
        min=row["v_min"],
        max=row["v_max"],
        sum=row["v_sum"],
        n=row["n"],
    )


def _table(points: Sequence[DataPoint]) -> pa.Table:
    values = samples.columns([point.value for point in points])
    return pa.table(
        {
            "timestamp": pa.array([point.timestamp for point in points], TIME),
            "labels": pa.array([list(point.labels.items()) for point in points], LABELS),
            **values,
            "min": pa.array([point.min for point in points], pa.float64()),
            "max": pa.array([point.max for point in points], pa.float64()),
            "sum": pa.array([point.sum for point in points], pa.float64()),
            "n": pa.array([point.n for point in points], pa.int64()),
        }
    )
