"""Routes of measured samples: raw pages, names, latest values, series in buckets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from query import cursors, samples
from query.answers import Answer
from query.credentials import Tenant
from query.parameters import (
    A_MINUTE,
    NO_LABELS,
    Aggregation,
    Bucket,
    CursorText,
    End,
    Labels,
    Limit,
    Metric,
    MetricInPath,
    Prefix,
    Start,
    check_buckets,
    label_filter,
    time_range,
)
from query.parts import Wired
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


class Names(Answer):
    """Names of metrics, sorted."""

    names: list[str] = Field(examples=[["cpu_usage", "cpu_wait"]])
    more: bool = Field(description="whether the limit cut the list: take a longer prefix")


class Latest(Answer):
    """The newest sample of each series of a metric, the oldest series first."""

    name: str = Field(examples=["cpu_usage"])
    series: list[Sample]


class Point(Answer):
    """A bucket."""

    timestamp: datetime = Field(description="where the bucket begins")
    value: float = Field(examples=[74.2])
    n: int = Field(description="samples in the bucket", examples=[30])


class BucketedSeries(Answer):
    """A metric over time, its series taken together. Buckets without a number are left out."""

    name: str = Field(examples=["cpu_usage"])
    start: datetime
    end: datetime
    bucket_seconds: float = Field(examples=[300])
    agg: Aggregation
    points: list[Point]


router = APIRouter(
    prefix="/api/v1/metrics",
    tags=["metrics"],
    responses=described(401, 403, 422, 503, 504),
)


@router.get("", summary="Raw samples, the newest first")
async def list_samples(
    *,
    parts: Wired,
    tenant: Tenant,
    name: Metric,
    label: Labels = NO_LABELS,
    start: Start = None,
    end: End = None,
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> SamplePage:
    """Page through samples as they were stored.

    A sample that arrives late, at a time that an earlier page has passed, is not shown.
    """
    request = (name, sorted(label), start, end)
    if cursor is None:
        after = samples.Position.before_all(time_range(start, end, parts.clock()))
    else:
        after = cursors.decode(cursor, samples.Position, *request)
    async with parts.database.reading(tenant) as reading:
        series = await samples.find_series(reading, name, label_filter(label))
        rows, position = await samples.page(reading, series, after, limit)
    return SamplePage(
        name=name,
        start=after.start,
        end=after.end,
        samples=[_sample(row, series) for row in rows],
        next_cursor=position and cursors.encode(position, *request),
    )


@router.get("/names", summary="Names of metrics")
async def list_names(
    parts: Wired, tenant: Tenant, prefix: Prefix = "", limit: Limit = 1000
) -> Names:
    """List the names that begin with `prefix`."""
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("list_names", prefix, limit + 1)
    return Names(names=[row["name"] for row in rows[:limit]], more=len(rows) > limit)


@router.get("/latest/{name:path}", summary="The newest sample of each series")
async def latest(
    parts: Wired, tenant: Tenant, name: MetricInPath, label: Labels = NO_LABELS
) -> Latest:
    """Show what each series of a metric measured last, however long ago."""
    async with parts.database.reading(tenant) as reading:
        series = await samples.find_series(reading, name, label_filter(label))
        rows = await samples.latest(reading, series, parts.clock())
    return Latest(name=name, series=[_sample(row, series) for row in rows])


@router.get("/series/{name:path}", summary="A metric in buckets of time")
async def bucketed(
    *,
    parts: Wired,
    tenant: Tenant,
    name: MetricInPath,
    label: Labels = NO_LABELS,
    start: Start = None,
    end: End = None,
    bucket: Bucket = A_MINUTE,
    agg: Aggregation = "avg",
) -> BucketedSeries:
    """Aggregate the numbers of all matching series together.

    Buckets are aligned to 1970-01-01T00:00:00Z. Percentiles are exact, interpolated between ranks.
    """
    asked = time_range(start, end, parts.clock())
    check_buckets(asked, bucket)
    async with parts.database.reading(tenant) as reading:
        series = await samples.find_series(reading, name, label_filter(label))
        found = await samples.buckets(reading, series, asked, bucket, agg)
    return BucketedSeries(
        name=name,
        start=asked.start,
        end=asked.end,
        bucket_seconds=bucket.total_seconds(),
        agg=agg,
        points=[Point(timestamp=at, n=n, value=value) for at, n, value in found],
    )


def _sample(row: Any, series: Mapping[int, samples.Labels]) -> Sample:
    return Sample(timestamp=row["ts"], value=samples.value_of(row), labels=series[row["series_id"]])
