"""Answers of the routes of figures: points by bucket and group, figures by group; as models and tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes the one of typing from Python 3.12 on

from query.answers import Answer
from query.freshness import Level
from query.parameters import FIGURES
from query.provenance import Sourced
from query.representations import LABELS, TIME
from schemas import definitions


class Point(TypedDict):
    """A bucket."""

    # Not an Answer: as objects the hundreds of an answer took a fifth of its time.

    timestamp: Annotated[datetime, Field(description="where the bucket begins")]
    value: Annotated[
        float | None, Field(description="null only where a gap was filled", examples=[74.2])
    ]
    n: Annotated[int, Field(description="samples in the bucket", examples=[30])]


class Group(Answer):
    """Series that have these labels in common, taken together."""

    labels: dict[str, str] = Field(examples=[{"host": "server-1"}])
    points: list[Point]


class BucketedSeries(Sourced):
    """A metric over time."""

    bucket_seconds: float = Field(
        description="wider than asked for where only coarse rollups are left", examples=[300]
    )
    agg: definitions.Aggregation
    points: list[Point] = Field(description="of all series together; empty when grouped by labels")
    groups: list[Group] = Field(description="by their labels; empty when not grouped")


class Aggregate(Answer):
    """Figures of a group over the whole range; null when it was not asked for, or has no number."""

    labels: dict[str, str] = Field(examples=[{"host": "server-1"}])
    count: int | None
    avg: float | None
    min: float | None
    max: float | None
    sum: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Aggregates(Sourced):
    """Figures of a metric over a range, a group a row; one group when not grouped by labels."""

    percentile_source: Level | None = Field(description="what percentiles were read from")
    groups: list[Aggregate]


def point_of(one: tuple[datetime, int, float | None]) -> Point:
    """A bucket's begin, count and value as a point."""
    at, n, value = one
    return {"timestamp": at, "value": value, "n": n}


def points_table(
    groups: Sequence[tuple[Mapping[str, str], Sequence[tuple[datetime, int, float | None]]]],
) -> pa.Table:
    """Points of groups as rows, each with its group's labels."""
    rows: list[tuple[Any, ...]] = [
        (at, list(labels.items()), value, n) for labels, points in groups for at, n, value in points
    ]
    return pa.table(
        {
            "timestamp": pa.array([row[0] for row in rows], TIME),
            "labels": pa.array([row[1] for row in rows], LABELS),
            "value": pa.array([row[2] for row in rows], pa.float64()),
            "n": pa.array([row[3] for row in rows], pa.int64()),
        }
    )


def aggregates_table(rows: Sequence[Aggregate]) -> pa.Table:
    """Groups as rows."""
    columns = {
        figure: pa.array(
            [getattr(row, figure) for row in rows],
            pa.int64() if figure == "count" else pa.float64(),
        )
        for figure in FIGURES
    }
    return pa.table(
        {"labels": pa.array([list(row.labels.items()) for row in rows], LABELS)} | columns
    )
