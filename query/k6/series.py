"""Routes of figures over time: from seconds while the range is short, else a point a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import pyarrow as pa
from fastapi import APIRouter, Path, Query, Response
from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes the one of typing from Python 3.12 on

from query.downsample import thin
from query.k6 import readings
from query.k6.answers import RESPONSES, Ask, Judged, of_runs
from query.k6.intervals import DEFAULT_POINTS, SECOND, hull, width
from query.k6.readings import Endpoints, Place, Source, Span
from query.k6.runs import Filters, Runs
from query.k6.shown import SERIES, Shown, Which
from query.parameters import Interval, MaxPoints, TimeRange, check_buckets
from query.representations import TABULAR, TIME
from schemas.definitions import Storable

router = APIRouter(prefix="/api/v1/k6/series", tags=["load tests"], responses=RESPONSES)


class SeriesPoint(TypedDict):
    """An interval, or a run."""

    timestamp: Annotated[datetime, Field(description="where the interval or the run begins")]
    execution_id: Annotated[UUID | None, Field(description="of the run that the point is of")]
    n: Annotated[int, Field(description="values that the figures are made of")]
    values: Annotated[dict[str, float | None], Field(examples=[{"p95": 74.2}])]


class LoadSeries(Judged):
    """Figures of load tests over time."""

    series: Which
    source: Source = Field(
        description="what was read: seconds, of all endpoints (total) or of each (bucket); or what each "
        "run came to, in all (summary) or at its endpoints (endpoint)"
    )
    interval_seconds: float | None = Field(description="null where a point is a run")
    start: datetime
    end: datetime
    columns: list[str] = Field(
        description="names of the values: rates are by the second, shares 0 to 1, times in ms"
    )
    points: list[SeriesPoint]


Name = Annotated[
    Storable | None, Query(max_length=1024, description="Only the endpoint of this name.")
]
Domain = Annotated[
    Storable | None, Query(max_length=1024, description="Only endpoints of this domain.")
]
_Method = Annotated[
    Storable | None, Query(max_length=64, description="Only requests of this method.")
]
_Status = Annotated[
    Storable | None, Query(max_length=64, description="Only requests with this status.")
]


@router.get(
    "/{which}", summary="Load tests over time", response_model=LoadSeries, responses=TABULAR
)
async def load_series(
    *,
    which: Annotated[Which, Path(description="What is shown.")],
    asked: Ask,
    endpoint: Name = None,
    method: _Method = None,
    status: _Status = None,
    domain: Domain = None,
    interval: Interval = None,
    max_points: MaxPoints = None,
) -> Response:
    """Show a range of at most HEADRACE_LONG_RANGE (12 h) by the interval, a longer one by the run.

    An interval takes the seconds of all runs together. Percentiles are exact where it has one row, else
    merged from sketches, never averaged. Without a time the range is that of the run. Of more points
    than `max_points` those stay that show the shape of the first value.
    """
    shown, endpoints = SERIES[which], Endpoints(endpoint, method, status, domain)
    filters, long = asked.filters, asked.parts.limits.long_range
    short = filters.start and (filters.end or asked.now) - filters.start <= long
    async with asked.runs(under_way=bool(short)) as (reading, runs):
        whole = _range(filters, runs, asked.now)
        if whole.end - whole.start > long:
            step = None
            found = await readings.each_run(reading, shown, endpoints, runs)
        else:
            within = hull(whole, runs.spans(asked.now))
            step = interval or width(within, max_points or DEFAULT_POINTS)
            check_buckets(within, step, "interval")
            span = Span(within.start, within.end, step, asked.now)
            found = await readings.intervals(reading, shown, endpoints, runs, span)
    columns = _columns(shown, found.places)
    points = [_point(shown, columns, one) for one in found.places]
    if max_points and columns:
        kept = thin([point["values"][columns[0]] for point in points], max_points)
        points = [points[at] for at in kept.tolist()]
    # Made of our own figures: to check hundreds of points again takes longer than to write them.
    answer = LoadSeries.model_construct(
        **of_runs(runs),
        **found.exactness.fields(found.reason),
        series=which,
        source=found.source,
        interval_seconds=step.total_seconds() if step else None,
        start=whole.start,
        end=whole.end,
        columns=columns,
        points=points,
    )
    return asked.respond(answer, "points", lambda: _table(columns, points))


def _range(filters: Filters, runs: Runs, now: datetime) -> TimeRange:
    """The time that is asked for; where none is, that of the runs."""
    spans = runs.spans(now)
    end = filters.end or now
    if not filters.start and not filters.end:
        end = max((last for _, last in spans), default=now)
    start = filters.start or min((first for first, _ in spans), default=end)
    return TimeRange(min(start, end - SECOND), end)


def _columns(shown: Shown, places: Sequence[Place]) -> list[str]:
    if shown.by_status:
        return sorted({status or "" for place in places for _, status in place.figures})
    return list(shown.columns)


def _point(shown: Shown, columns: Sequence[str], place: Place) -> SeriesPoint:
    values: dict[str, float | None]
    if shown.by_status:
        ((_, value),) = shown.columns.values()
        # A status that did not come up came up 0 times.
        values = dict.fromkeys(columns, 0.0)
        values |= {
            status or "": value(one, place.seconds) for (_, status), one in place.figures.items()
        }
    else:
        values = {
            name: value(one, place.seconds) if (one := place.figures.get((metric, None))) else None
            for name, (metric, value) in shown.columns.items()
        }
    return {
        "timestamp": place.at,
        "execution_id": place.execution_id,
        "n": max(one.n for one in place.figures.values()),
        "values": values,
    }


def _table(columns: Sequence[str], points: Sequence[SeriesPoint]) -> pa.Table:
    # As lists: a status may be named as another column is.
    names = ["timestamp", "execution_id", "n", *columns]
    runs = [one["execution_id"] and str(one["execution_id"]) for one in points]
    arrays = [
        pa.array([one["timestamp"] for one in points], TIME),
        pa.array(runs, pa.string()),
        pa.array([one["n"] for one in points], pa.int64()),
        *(pa.array([one["values"][name] for one in points], pa.float64()) for name in columns),
    ]
    return pa.table(arrays, names=names)
