"""Reads percentiles: exact ones from raw samples, those of long ranges from sketches."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

from query import routing, sketches
from query.aggregates import check_raw, piece_rows, too_many
from query.database import Reading
from query.routing import Piece, Route
from query.series import Selection
from query.sketches import Sketches

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

MOST_SKETCHES = 100_000
"""That one request may merge: a second at the very worst."""

_AT_ONCE = 5_000
"""Sketches that are held at a time: some ten megabytes."""
Percentiles = list[list[tuple[datetime, int, list[float]]]]
"""Begin, count, and the percentiles as they were asked for, of each bucket, ascending, by group."""


async def from_raw(
    reading: Reading, selection: Selection, route: Route, shares: Sequence[float]
) -> Percentiles:
    """Percentiles of each bucket and group, exact.

    Raises a validation error when that would read too much.
    """
    (piece,) = route.pieces
    await check_raw(reading, selection, piece)
    rows = await piece_rows(reading, "percentiles", selection, route, piece, list(shares))
    found: Percentiles = [[] for _ in selection.labels]
    for at, group, n, values in rows:
        found[group].append((at, n, values))
    return found


async def from_sketches(
    reading: Reading, selection: Selection, route: Route, shares: Sequence[float]
) -> Percentiles | None:
    """Percentiles of each bucket and group; None when the sketches don't have the samples yet.

    Raises a validation error when that would read too much.
    """
    (core,) = (piece for piece in route.pieces if piece.level == route.level)
    hours = (core.end - core.start) // routing.WIDTHS[core.level]
    if hours * len(selection.ids) > MOST_SKETCHES:
        raise too_many("start", f"{hours * len(selection.ids)} sketches (at most {MOST_SKETCHES})")
    for piece in route.pieces:
        await check_raw(reading, selection, piece)
    places: dict[tuple[datetime, int], int] = {}
    found = sketches.NONE
    at: list[int] = []
    classes: list[bytes] = []
    oldest = core.end
    for piece in _slices(route, max(1, _AT_ONCE // max(1, len(selection.ids)))):
        rows = await piece_rows(reading, "classes", selection, route, piece)
        at += [places.setdefault((row["at"], row["grp"]), len(places)) for row in rows]
        classes += [row["classes"] for row in rows]
        if len(classes) >= _AT_ONCE:
            # In a thread: thousands of them take longer than other requests should wait.
            found = await asyncio.to_thread(_merged, found, at, classes)
            at, classes = [], []
        if piece.level == core.level:
            oldest = min([oldest, *(row["oldest"] for row in rows)])
    found = _merged(found, at, classes)
    # Of the past, sketches are made from the newest day back: what is not made yet is older than all.
    if selection.ids and core.start < oldest:
        undone = await reading.rows("is_rolled", selection.ids, core.start, oldest, selection.name)
        if undone[0]["is_rolled"]:
            return None
    by_group: Percentiles = [[] for _ in selection.labels]
    for (begin, group), n, values in zip(places, *found.percentiles(shares), strict=True):
        by_group[group].append((begin, n, values))
    return by_group


def _merged(found: Sketches, places: Sequence[int], classes: Sequence[bytes]) -> Sketches:
    return found.merged(sketches.decode(places, classes))


def _slices(route: Route, hours: int) -> Iterator[Piece]:
    """The route's pieces, those of sketches no longer than so many hours."""
    for piece in route.pieces:
        start = piece.start
        step = hours * routing.WIDTHS[piece.level] if piece.level != "raw" else piece.end - start
        while start < piece.end:
            end = min(start + step, piece.end)
            yield Piece(piece.level, start, end)
            start = end
