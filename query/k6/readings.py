"""Reads a series: from seconds in intervals, or what each run came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from query.database import Reading, Rows
from query.k6.figures import Exactness, Figures, figures
from query.k6.intervals import covered
from query.k6.runs import Runs, seconds_of
from query.k6.shown import Shown
from query.parameters import TimeRange
from query.problems import bad_parameter

Source = Literal["total", "bucket", "summary", "endpoint"]

MOST_SECONDS = 50_000
"""Of runs, in one answer: one of twelve hours, whose sketches are some 40 MB."""
MOST_SKETCHES = 2_000
"""Of endpoints of runs, in one answer: some 5 MB, read and merged in 40 ms. Beyond, percentiles are left out."""
_NOT_BY_ENDPOINT = (
    "k6 does not measure this by endpoint: ask without endpoint, method, status and domain"
)


@dataclass(frozen=True)
class Span:
    """A time in intervals of a width, as it is now."""

    start: datetime
    end: datetime
    step: timedelta
    now: datetime


@dataclass(frozen=True)
class Endpoints:
    """Those that are asked for; None: whichever."""

    name: str | None = None
    method: str | None = None
    status: str | None = None
    domain: str | None = None

    @property
    def arguments(self) -> tuple[str | None, ...]:
        """In the order of the queries."""
        return self.name, self.method, self.status, self.domain

    @property
    def named(self) -> bool:
        """Whether some are asked for."""
        return any(one is not None for one in self.arguments)


@dataclass(frozen=True)
class Place:
    """An interval, or a run: when it begins, how long it is, and figures by metric and status."""

    at: datetime
    execution_id: UUID | None
    seconds: float | None
    figures: dict[tuple[str, str | None], Figures]


@dataclass(frozen=True)
class Found:
    """Places in the order of time, and where they were read."""

    source: Source
    places: list[Place]
    exactness: Exactness
    reason: str | None = None


async def intervals(
    reading: Reading, shown: Shown, endpoints: Endpoints, runs: Runs, span: Span
) -> Found:
    """A place for each interval in which something was measured.

    Raises a validation error when the runs have more seconds than an answer is made of.
    """
    spans = [(max(a, span.start), min(b, span.end)) for a, b in runs.spans(span.now)]
    seconds = sum(max(0.0, (b - a).total_seconds()) for a, b in spans)
    if seconds > MOST_SECONDS:
        raise bad_parameter(
            "start", f"takes in {seconds:.0f} seconds of runs; at most {MOST_SECONDS}: name one run"
        )
    source: Source = "bucket" if endpoints.named else "total"
    if endpoints.named and not shown.by_endpoint:
        return Found(source, [], Exactness(), _NOT_BY_ENDPOINT)
    if (
        source == "total"
        and runs.ids
        and (await reading.rows("k6_untotalled", runs.ids))[0]["some"]
    ):
        source = "bucket"
    what = (runs.ids, shown.metrics, span.start, span.end, span.step)
    if shown.gauge:
        rows = await reading.rows("k6_levels", *what, source)
    elif source == "total":
        rows = await reading.rows("k6_totals", *what, shown.by_status, shown.percentiles)
    else:
        names = await _names(reading, endpoints, runs)
        more = (names, *endpoints.arguments[1:])
        rows = await reading.rows("k6_buckets", *what, shown.by_status, shown.percentiles, *more)
    of, exactness = await _figures(rows, "at", percentiles=shown.percentiles)
    times = sorted(of)
    lengths = covered(times, span.step, TimeRange(span.start, span.end), spans)
    places = [Place(at, None, one, of[at]) for at, one in zip(times, lengths, strict=True)]
    return Found(source, places, exactness)


async def _names(reading: Reading, endpoints: Endpoints, runs: Runs) -> list[str] | None:
    if endpoints.name is not None:
        return [endpoints.name]
    if endpoints.domain is None:
        return None
    rows = await reading.rows("k6_domain", runs.ids, endpoints.domain)
    return [row["name"] for row in rows]


async def each_run(reading: Reading, shown: Shown, endpoints: Endpoints, runs: Runs) -> Found:
    """A place for each run in which something was measured."""
    source: Source = "endpoint" if endpoints.named or shown.by_status else "summary"
    if endpoints.named and not shown.by_endpoint:
        return Found(source, [], Exactness(), _NOT_BY_ENDPOINT)
    if source == "summary":
        rows = await reading.rows("k6_summaries", runs.ids, shown.metrics, shown.percentiles)
    else:
        wanted = shown.percentiles and await few_enough(reading, runs, shown.metrics, endpoints)
        more = (shown.by_status, wanted, *endpoints.arguments)
        rows = await reading.rows("k6_endpoints_of_runs", runs.ids, shown.metrics, *more)
    of, exactness = await _figures(rows, "execution_id", percentiles=shown.percentiles)
    places = [
        Place(row["started_at"], row["execution_id"], seconds_of(row), of[row["execution_id"]])
        for row in reversed(runs.rows)
        if row["execution_id"] in of
    ]
    return Found(source, places, exactness)


async def few_enough(
    reading: Reading, runs: Runs, metrics: Sequence[str], endpoints: Endpoints
) -> bool:
    """Whether the sketches of these endpoints of the runs are so few that they can be merged."""
    rows = await reading.rows("k6_endpoint_rows", runs.ids, metrics, *endpoints.arguments)
    return all(row["n"] <= MOST_SKETCHES for row in rows)


async def _figures(
    rows: Rows, place: str, *, percentiles: bool
) -> tuple[dict[Any, dict[tuple[str, str | None], Figures]], Exactness]:
    found, exactness = await figures(rows)
    of: dict[Any, dict[tuple[str, str | None], Figures]] = {}
    for row, one in zip(rows, found, strict=True):
        of.setdefault(row[place], {})[row["metric"], row["status"]] = one
    return of, exactness if percentiles else Exactness()
