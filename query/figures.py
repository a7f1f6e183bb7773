"""Answers for one figure of a metric: finds what to read it from, reads it, says how exact it is."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

from query import aggregates, percentiles, routing
from query.columns import C, Points
from query.database import Reading
from query.parameters import Figure, TimeRange
from query.percentiles import PERCENTILES, Percentiles, SketchesMissing
from query.rates import rates
from query.routing import Degradation, Kept, Route
from query.series import Defined, Selection
from query.settled import Recollection
from query.subject import REACH
from schemas.definitions import Aggregation

_T = TypeVar("_T")


@dataclass(frozen=True)
class Found(Generic[_T]):
    """Figures, the route that they were read along, and whether raw samples would give the same."""

    values: _T
    route: Route
    exact: bool = True


@dataclass(frozen=True)
class Whole:
    """Figures of each group over a whole range, and the routes of its numbers and its percentiles."""

    values: list[dict[Figure, float]]
    numbers: Route | None
    percentiles: Route | None
    exact: bool = True

    @property
    def routes(self) -> list[Route]:
        """Those that were taken."""
        return [one for one in (self.numbers, self.percentiles) if one]


@dataclass(frozen=True)
class Question:
    """A range of a metric, in buckets or (None) as one, and what is kept of it."""

    asked: TimeRange
    bucket: timedelta | None
    now: datetime
    kept: Kept
    defined: Defined
    recollection: Recollection | None = None
    """Of a question in buckets: what may be answered without reading it again."""

    @property
    def is_kept(self) -> bool:
        """Whether all of the raw samples are."""
        return self.asked.start >= self.kept["raw"]

    def route(self, aggregation: Aggregation) -> Route:
        """What will be read, as far as that is known before, and at most what an answer depends on."""
        if aggregation in PERCENTILES:
            sketched = self.defined.is_sketched
            return routing.percentiles(self.asked, self.bucket, self.kept, sketched=sketched)
        if aggregation == "rate":
            route = routing.estimates(self.asked, self.bucket, self.kept)
            wide = TimeRange(route.asked.start - REACH, route.asked.end)
            return replace(route, asked=wide)
        return routing.numbers(self.asked, self.bucket, self.kept)


async def series(
    reading: Reading, selection: Selection, question: Question, aggregation: Aggregation
) -> Found[list[Points]]:
    """The figure of each bucket that has one, by group.

    Raises a validation error when that would read too much.
    """
    if aggregation == "rate":
        return await _rates(reading, selection, question)
    if aggregation in PERCENTILES:
        some = await quantiles(reading, selection, question, [PERCENTILES[aggregation]])
        return Found([one.points() for one in some.values], some.route, some.exact)
    route = question.route(aggregation)
    parts = aggregates.parts_of([aggregation])
    read = partial(aggregates.numbers, reading, selection, parts=parts)
    found = await _read(question, selection, route, ("numbers", *parts), read)
    return Found([Points(one.at, one.n, one.figure(aggregation)) for one in found], route)


async def whole(
    reading: Reading, selection: Selection, question: Question, wanted: Sequence[Figure]
) -> Whole:
    """These figures of each group, all buckets being one.

    Raises a validation error when that would read too much.
    """
    values: list[dict[Figure, float]] = [{} for _ in selection.labels]
    shares = {one: PERCENTILES[one] for one in wanted if one in PERCENTILES}
    plain = [one for one in wanted if one not in shares]
    route = question.route(plain[0]) if plain else None
    if route:
        parts = aggregates.parts_of(plain)
        numbers = await aggregates.numbers(reading, selection, route, parts)
        for figures, one in zip(values, numbers, strict=True):
            if len(one.at):
                figures |= {name: one.figure(name).item() for name in plain}
    if not shares:
        return Whole(values, route, None)
    found = await quantiles(reading, selection, question, list(shares.values()))
    for figures, some in zip(values, found.values, strict=True):
        if len(some.at):
            figures |= dict(zip(shares, some.values[0].tolist(), strict=True))
    return Whole(values, route, found.route, found.exact)


async def quantiles(
    reading: Reading, selection: Selection, question: Question, shares: Sequence[float]
) -> Found[Sequence[Percentiles]]:
    """Percentiles of each group: exact, or from sketches, or of the samples that are left.

    Raises a validation error when that would read too much.
    """
    route = question.route("p50")
    kind = ("percentiles", *shares)
    if route.level == "sketch_1h":
        read = partial(percentiles.from_sketches, reading, selection, shares=shares)
        with suppress(SketchesMissing):
            return Found(await _read(question, selection, route, kind, read), route, exact=False)
        undone = "the metric's sketches are not made yet: these are the raw samples that are kept"
        route = routing.from_raw(question.asked, question.bucket)
        route = replace(route, degradation=Degradation("sketch_1h", "raw", undone))
    read = partial(percentiles.from_raw, reading, selection, shares=shares)
    return Found(await _read(question, selection, route, kind, read), route, question.is_kept)


async def _read(
    question: Question,
    selection: Selection,
    route: Route,
    kind: Hashable,
    read: Callable[[Route], Awaitable[Sequence[C]]],
) -> Sequence[C]:
    if question.recollection is None:
        return await read(route)
    return await question.recollection.completed(selection, route, kind, read)


async def _rates(reading: Reading, selection: Selection, question: Question) -> Found[list[Points]]:
    asked, bucket = question.asked, question.bucket
    estimated = routing.estimates(asked, bucket, question.kept)
    reason = routing.gone("raw", estimated.level, question.kept)
    if question.is_kept:
        wide = TimeRange(asked.start - REACH, asked.end)
        count = await aggregates.count_raw(reading, selection, wide)
        if count <= aggregates.MOST_RAW:
            route = routing.from_raw(asked, bucket)
            return Found(await rates(reading, selection, route, question.now), route)
        many = f"{count} raw samples are too many to follow: resets are estimated from rollups"
        reason = Degradation("raw", estimated.level, many)
    route = replace(estimated, degradation=reason)
    return Found(await rates(reading, selection, route, question.now), route, exact=False)
