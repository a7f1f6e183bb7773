"""Reads percentiles: exact ones from raw samples, those of long ranges from sketches."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from query import columns, routing, sketches
from query.aggregates import check_raw, piece_rows, too_many
from query.columns import Columns, Floats, Integers, Points, micros
from query.database import Reading
from query.routing import Piece, Route
from query.series import Selection
from query.sketches import Sketches

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

MOST_SKETCHES = 100_000
"""That one request may merge: a second at the very worst."""

_AT_ONCE = 5_000
"""Sketches that are held at a time: some ten megabytes."""


class SketchesMissing(Exception):
    """Samples are there that are in no sketch yet."""


@dataclass(frozen=True)
class Percentiles(Columns):
    """Of each bucket that has a number."""

    values: Floats
    """A line a bucket: as they were asked for."""

    def points(self) -> Points:
        """The first of them."""
        return Points(self.at, self.n, self.values[:, 0])


async def from_raw(
    reading: Reading, selection: Selection, route: Route, shares: Sequence[float]
) -> list[Percentiles]:
    """Percentiles of each group, exact.

    Raises a validation error when that would read too much.
    """
    by_group: list[list[Any]] = [[] for _ in selection.labels]
    for piece in route.pieces:
        await check_raw(reading, selection, piece)
        rows = await piece_rows(reading, "percentiles", selection, route, piece, list(shares))
        for row in rows:
            by_group[row["grp"]].append(row)
    return [
        Percentiles(
            np.array([micros(row["at"]) for row in some], np.int64),
            np.array([row["n"] for row in some], np.int64),
            np.array([row["percentiles"] for row in some], np.float64).reshape(-1, len(shares)),
        )
        for some in by_group
    ]


async def from_sketches(
    reading: Reading, selection: Selection, route: Route, shares: Sequence[float]
) -> list[Percentiles]:
    """Percentiles of each group. Raises SketchesMissing, and a validation error when that would read too much."""
    cores = [piece for piece in route.pieces if piece.level == "sketch_1h"]
    hours = sum((core.end - core.start) // routing.WIDTHS[core.level] for core in cores)
    if hours * len(selection.ids) > MOST_SKETCHES:
        raise too_many("start", f"{hours * len(selection.ids)} sketches (at most {MOST_SKETCHES})")
    for piece in route.pieces:
        await check_raw(reading, selection, piece)
    places = _Places.of(route)
    found = sketches.NONE
    for piece in route.pieces:
        oldest = piece.end
        for part in _slices(piece, max(1, _AT_ONCE // max(1, len(selection.ids)))):
            for row in await piece_rows(reading, "classes", selection, route, part):
                if row["at"] is None:
                    continue
                sizes = columns.small_integers(row["sizes"])
                at = places.of_buckets(columns.times(row["at"]), columns.small_integers(row["grp"]))
                if len(sizes) >= _AT_ONCE // 2:
                    # In a thread: thousands of them take longer than other requests should wait.
                    found = await asyncio.to_thread(_merged, found, at, sizes, row["classes"])
                else:
                    found = _merged(found, at, sizes, row["classes"])
                if piece in cores:
                    oldest = min(oldest, row["oldest"])
        if piece in cores:
            await _check_made(reading, selection, piece.start, oldest)
    return places.by_group(found, shares, len(selection.labels))


async def _check_made(
    reading: Reading, selection: Selection, start: datetime, oldest: datetime
) -> None:
    """Raise SketchesMissing when there are samples from before the oldest sketch.

    Of the past, sketches are made from the newest day back: what is not made yet is older than all.
    """
    if selection.ids and start < oldest:
        rows = await reading.rows("is_rolled", selection.ids, start, oldest, selection.name)
        if rows[0]["is_rolled"]:
            raise SketchesMissing


@dataclass(frozen=True)
class _Places:
    """Numbers of the buckets of a route by group, as sketches are told apart by."""

    first: int
    """Where the first bucket begins, in microseconds since the epoch."""
    width: int
    count: int

    @classmethod
    def of(cls, route: Route) -> "_Places":
        width, begin = (micros(one) for one in route.grid)
        start, end = (micros(moment) for moment in (route.pieces[0].start, route.pieces[-1].end))
        first = begin + (start - begin) // width * width
        return cls(first, width, -((first - end) // width))

    def of_buckets(self, at: Integers, groups: Integers) -> Integers:
        return groups * self.count + (at - self.first) // self.width

    def by_group(self, found: Sketches, shares: Sequence[float], groups: int) -> list[Percentiles]:
        n, values = found.percentiles(shares)
        group, number = np.divmod(found.places, self.count)
        at, counts = self.first + number * self.width, np.array(n, np.int64)
        every = np.array(values, np.float64).reshape(-1, len(shares))
        ends = np.searchsorted(group, np.arange(groups + 1))
        return [
            Percentiles(at[begin:end], counts[begin:end], every[begin:end])
            for begin, end in pairwise(ends.tolist())
        ]


def _merged(found: Sketches, places: Integers, sizes: Integers, classes: bytes) -> Sketches:
    return found.merged(sketches.divided(places, sizes, classes))


def _slices(piece: Piece, hours: int) -> Iterator[Piece]:
    """A piece, or when it is of sketches parts of it, no longer than so many hours."""
    start = piece.start
    step = hours * routing.WIDTHS[piece.level] if piece.level != "raw" else piece.end - start
    while start < piece.end:
        end = min(start + step, piece.end)
        yield Piece(piece.level, start, end)
        start = end
