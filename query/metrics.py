"""Routes of measured samples: raw pages, and the latest value of each series."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
from fastapi import APIRouter, Request, Response
from pydantic import Field

from query import cursors, freshness, pages, samples
from query.answers import Answer
from query.credentials import Tenant
from query.pages import Position
from query.parameters import (
    EARLIEST,
    LATEST,
    NO_LABELS,
    CursorText,
    End,
    Labels,
    Limit,
    Matchers,
    Metric,
    MetricInPath,
    Start,
    TimeRange,
    time_range,
)
from query.parts import Wired
from query.paths import NAME
from query.representations import LABELS, TABULAR, TIME, Accepted
from query.subject import look_up
from schemas.problems import described


class Sample(Answer):
    """What was measured once."""

    timestamp: datetime = Field(examples=["2026-01-15T10:59:30.000000Z"])
    value: float | bool | str = Field(examples=[75.5])
    labels: dict[str, str] = Field(examples=[{"host": "server-1"}])


class SamplePage(Answer):
    """Raw samples, the newest first; of one time, the highest series first."""

    name: str = Field(examples=["cpu_usage"])
    start: datetime
    end: datetime
    samples: list[Sample]
    next_cursor: str | None = Field(description="of the page with older samples; null on the last")


class Latest(Answer):
    """The newest sample of each series of a metric, the oldest series first."""

    name: str = Field(examples=["cpu_usage"])
    series: list[Sample]


_EVER = TimeRange(EARLIEST, LATEST)

router = APIRouter(
    prefix="/api/v1/metrics",
    tags=["metrics"],
    responses=described(401, 403, 422, 503, 504),
)


@router.get(
    "",
    summary="Raw samples, the newest first",
    response_model=SamplePage,
    responses=TABULAR,
)
async def list_samples(
    *,
    request: Request,
    parts: Wired,
    accepted: Accepted,
    tenant: Tenant,
    name: Metric,
    label: Labels = NO_LABELS,
    match: Matchers = NO_LABELS,
    start: Start = None,
    end: End = None,
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> Response:
    """Page through samples as they were stored.

    Following the cursor shows each sample once, whatever is stored meanwhile. A sample that arrives
    late, at a time that an earlier page has passed, is not shown.
    """
    now = parts.clock()
    asked_for = (name, sorted(label), sorted(match), start, end)
    if cursor is None:
        after = Position.before_all("raw", time_range(start, end, now))
    else:
        after = msgspec.structs.replace(cursors.decode(cursor, Position, *asked_for), level="raw")
    asked = TimeRange(after.start, after.end)
    async with parts.database.reading(tenant, "generic") as reading:
        subject = await look_up(reading, name, label, match, asked)
        etag = freshness.etag(subject.state, request, tenant, asked=asked, level="raw", now=now)
        series = await subject.series()
        rows, position = await pages.page(reading, series, after, limit)
    found = [_sample(row, series) for row in rows]
    answer = SamplePage(
        name=name,
        start=after.start,
        end=after.end,
        samples=found,
        next_cursor=position and cursors.encode(position, *asked_for),
    )
    return accepted.respond(answer, rows="samples", table=lambda: _table(found), etag=etag)


@router.get(
    "/latest" + NAME,
    summary="The newest sample of each series",
    response_model=Latest,
    responses=TABULAR,
)
async def latest(
    *,
    request: Request,
    parts: Wired,
    accepted: Accepted,
    tenant: Tenant,
    name: MetricInPath,
    label: Labels = NO_LABELS,
    match: Matchers = NO_LABELS,
) -> Response:
    """Show what each series of a metric measured last, however long ago."""
    now = parts.clock()
    async with parts.database.reading(tenant, "generic") as reading:
        subject = await look_up(reading, name, label, match, _EVER)
        etag = freshness.etag(subject.state, request, tenant, asked=_EVER, level="raw", now=now)
        series = await subject.series()
        rows = await samples.latest(reading, series)
    found = [_sample(row, series) for row in rows]
    answer = Latest(name=name, series=found)
    return accepted.respond(answer, rows="series", table=lambda: _table(found), etag=etag)


def _sample(row: Any, series: Mapping[int, dict[str, str]]) -> Sample:
    return Sample(timestamp=row["ts"], value=samples.value_of(row), labels=series[row["series_id"]])


def _table(found: Sequence[Sample]) -> pa.Table:
    return pa.table(
        {
            "timestamp": pa.array([one.timestamp for one in found], TIME),
            "labels": pa.array([list(one.labels.items()) for one in found], LABELS),
            **samples.columns([one.value for one in found]),
        }
    )
