"""Routes of what a tenant sends: names of metrics, their labels, and how near they are to a limit."""

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field

from query import cursors
from query.answers import Answer
from query.credentials import Tenant
from query.parameters import CursorText, Limit, Metric, Prefix
from query.parts import Wired
from query.problems import bad_parameter
from schemas.definitions import Storable
from schemas.problems import described
from schemas.samples import MAX_LABEL_KEY_BYTES


class MetricFacts(Answer):
    """A metric."""

    name: str = Field(examples=["cpu_usage"])
    series: int = Field(description="how many it has")
    first_seen: datetime


class Names(Answer):
    """Names of metrics, sorted by their bytes."""

    names: list[str] = Field(examples=[["cpu_usage", "cpu_wait"]])
    metrics: list[MetricFacts] = Field(description="the same metrics, with what is known of them")
    more: bool = Field(description="whether the limit cut the list")
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class LabelFacts(Answer):
    """A label of a metric."""

    label: str = Field(examples=["host"])
    n_values: int = Field(description="distinct values that it has had")


class Labels(Answer):
    """Labels of a metric, or the values of one of them, sorted by their bytes."""

    name: str = Field(examples=["cpu_usage"])
    labels: list[LabelFacts] = Field(description="empty when one label was asked for")
    label: str | None = Field(description="the label that was asked for")
    values: list[str] = Field(description="its values", examples=[["server-1", "server-2"]])
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class SeriesLimit(Answer):
    """Series of the tenant, and how many it may have."""

    series: int
    max_series: int


class CrowdedLabel(LabelFacts):
    """A label with many values, and how many it may have."""

    name: str = Field(description="the metric", examples=["cpu_usage"])
    max_values: int


class Rejection(Answer):
    """Samples that were refused because their series would have been one too many."""

    reason: str = Field(examples=["too_many_series", "too_many_label_values"])
    samples: int
    last_name: str = Field(description="metric of the last one")
    last_labels: dict[str, str]
    first_at: datetime
    last_at: datetime


class Cardinality(Answer):
    """How many series there are, where they come from, and what was refused."""

    limit: SeriesLimit
    top_metrics: list[MetricFacts] = Field(description="those with the most series first")
    top_labels: list[CrowdedLabel] = Field(description="those with the most values first")
    rejections: list[Rejection]


LabelName = Annotated[
    Storable | None,
    Query(
        max_length=MAX_LABEL_KEY_BYTES,
        description="List the values of this label. Default: list the labels.",
        examples=["host"],
    ),
]
ValuePrefix = Annotated[
    Storable | None, Query(max_length=256, description="What the values begin with; needs `label`.")
]
Top = Annotated[int, Query(ge=1, le=1000, description="Metrics, and labels, in the answer.")]

router = APIRouter(prefix="/api/v1", tags=["catalog"], responses=described(401, 403, 422, 503, 504))


@router.get("/metrics/names", summary="Names of metrics")
async def list_names(
    parts: Wired,
    tenant: Tenant,
    prefix: Prefix = "",
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> Names:
    """List the names that begin with `prefix`, and how many series each has."""
    after = cursors.after(cursor, cursors.Name, "names", prefix)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("catalog_names", prefix, after and after.name, limit + 1)
    metrics = [MetricFacts(**row) for row in rows[:limit]]
    more = len(rows) > limit
    last = cursors.Name(metrics[-1].name) if more else None
    return Names(
        names=[one.name for one in metrics],
        metrics=metrics,
        more=more,
        next_cursor=cursors.following(last, "names", prefix),
    )


@router.get("/metrics/labels", summary="Labels of a metric, or the values of one")
async def list_labels(
    *,
    parts: Wired,
    tenant: Tenant,
    name: Metric,
    label: LabelName = None,
    prefix: ValuePrefix = None,
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> Labels:
    """List the labels of a metric and how many values each has; or, with `label`, the values."""
    if label is None:
        if prefix is not None or cursor is not None:
            raise bad_parameter("label", "must be given with prefix and cursor")
        async with parts.database.reading(tenant) as reading:
            rows = await reading.rows("list_labels", name)
        found = [LabelFacts(**row) for row in rows]
        return Labels(name=name, labels=found, label=None, values=[], next_cursor=None)
    request = ("labels", name, label, prefix)
    after = cursors.after(cursor, cursors.Name, *request)
    async with parts.database.reading(tenant) as reading:
        last = after and after.name
        rows = await reading.rows("list_label_values", name, label, prefix or "", last, limit + 1)
    values = [row["value"] for row in rows[:limit]]
    end = cursors.Name(values[-1]) if len(rows) > limit else None
    return Labels(
        name=name,
        labels=[],
        label=label,
        values=values,
        next_cursor=cursors.following(end, *request),
    )


@router.get("/cardinality", summary="How many series there are, and what was refused")
async def cardinality(parts: Wired, tenant: Tenant, top: Top = 10) -> Cardinality:
    """Show the limits, the metrics and labels that use most of them, and what was refused."""
    async with parts.database.reading(tenant) as reading:
        limits = await reading.rows("limits")
        metrics = await reading.rows("top_metrics", top)
        labels = await reading.rows("top_labels", top)
        rejections = await reading.rows("rejections")
    series = limits[0]["series"] if limits else 0
    own = limits[0]["max_series"] if limits else None
    return Cardinality(
        limit=SeriesLimit(series=series, max_series=own or parts.limits.series),
        top_metrics=[MetricFacts(**row) for row in metrics],
        top_labels=[
            CrowdedLabel(
                name=row["name"],
                label=row["label"],
                n_values=row["n_values"],
                max_values=row["max_label_values"] or parts.limits.label_values,
            )
            for row in labels
        ],
        rejections=[
            Rejection(**{**row, "last_labels": msgspec.json.decode(row["last_labels"])})
            for row in rejections
        ],
    )
