"""Answers of the routes of figures: points by bucket and group, figures by group; as models and tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
import pyarrow as pa
from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes the one of typing from Python 3.12 on

from query.answers import Answer
from query.columns import NO_POINTS, Points, joined
from query.freshness import Level
from query.parameters import FIGURES
from query.provenance import Sourced
from query.representations import LABELS, TIME
from schemas import definitions


class Point(TypedDict):
    """A bucket."""

    # Only described by this: see points_json.

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


Grouped = Sequence[tuple[Mapping[str, str], Points]]
"""Points of groups, by the labels that each has in common."""


class _Row(msgspec.Struct):
    """As `Point`: made in half the time of a dictionary, of which there are hundreds."""

    timestamp: datetime
    value: float | None
    n: int


def points_json(points: Points) -> bytes:
    """A list of `Point`, written."""
    columns = (points.at.astype("M8[us]"), points.value, points.n)
    rows = list(map(_Row, *(column.tolist() for column in columns)))
    # Times with a zone take ten times as long to make; these are UTC. What is no number becomes null.
    return msgspec.json.encode(rows).replace(b'","value"', b'Z","value"')


def groups_json(groups: Grouped) -> bytes:
    """A list of `Group`, written."""
    return b"[%b]" % b",".join(
        b'{"labels":%b,"points":%b}' % (msgspec.json.encode(labels), points_json(points))
        for labels, points in groups
    )


def points_table(groups: Grouped) -> pa.Table:
    """Points of groups as rows, each with its group's labels."""
    pairs = [list(labels.items()) for labels, points in groups for _ in range(len(points))]
    every = joined([NO_POINTS, *(points for _, points in groups)])
    return pa.table(
        {
            "timestamp": pa.array(every.at).cast(TIME),
            "labels": pa.array(pairs, LABELS),
            "value": pa.array(every.value, pa.float64(), from_pandas=True),
            "n": pa.array(every.n, pa.int64()),
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
