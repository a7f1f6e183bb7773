"""What an answer says about itself: what the metric is, and what the figures were read from."""

from datetime import datetime
from typing import Any

from pydantic import Field

from query.answers import Answer
from query.freshness import Level
from query.routing import Degradation, Route
from query.series import Defined
from query.sketches import RELATIVE_ERROR
from schemas.definitions import MetricType


class Described(Answer):
    """An answer about a metric over a time."""

    name: str = Field(examples=["cpu_usage"])
    display_name: str | None = Field(
        description="of the metric's definition", examples=["CPU usage"]
    )
    unit: str | None = Field(description="of the metric's definition", examples=["percent"])
    type: MetricType | None = Field(description="of the metric's definition")
    start: datetime = Field(
        description="from when on: earlier than asked for where only coarse rollups are left"
    )
    end: datetime


class Sourced(Described):
    """An answer that may come from rollups."""

    source: Level = Field(
        description="the coarsest source that was read; what juts out of its buckets is from finer ones"
    )
    exact: bool = Field(description="whether the figures are those of the raw samples")
    relative_error: float | None = Field(
        description="of percentiles from sketches, at most", examples=[0.01]
    )
    degraded_from: Level | None = Field(description="what was asked for and is no longer kept")
    degraded_to: Level | None = Field(description="what was read instead")
    reason: str | None = Field(description="why it was read, or what is missing")


def described(name: str, defined: Defined) -> dict[str, Any]:
    """Fields of `Described` but for the time."""
    return {
        "name": name,
        "display_name": defined.display_name,
        "unit": defined.unit,
        "type": defined.type,
    }


def sourced(route: Route, *more: Route, exact: bool) -> dict[str, Any]:
    """Fields of `Sourced`: those of a route; error and degradation also those of others beside it."""
    routes = (route, *more)
    sketched = any(one.level == "sketch_1h" for one in routes)
    return {
        "start": route.asked.start,
        "end": route.asked.end,
        "source": route.level,
        "exact": exact,
        "relative_error": RELATIVE_ERROR if sketched else None,
        **degraded(next((one.degradation for one in routes if one.degradation), None)),
    }


def degraded(degradation: Degradation | None) -> dict[str, Any]:
    """Fields that tell of a degradation, or of none."""
    if degradation is None:
        return {"degraded_from": None, "degraded_to": None, "reason": None}
    return {
        "degraded_from": degradation.degraded_from,
        "degraded_to": degradation.degraded_to,
        "reason": degradation.reason,
    }
