"""Reads count, sum, least and greatest along a route: partial figures of each piece, merged exactly."""

from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from query import routing
from query.database import Reading, Rows
from query.parameters import TimeRange
from query.problems import bad_parameter
from query.routing import Piece, Resolution, Route
from query.series import Selection

MOST_RAW = 2_000_000
"""Raw samples that one request may read: a second, where they have to be sorted."""
_MOST_ROLLED = 5_000_000
"""Rows of a rollup that one request may read."""
_MINUTE = timedelta(minutes=1)
_SHORT = timedelta(hours=2)
"""Range whose samples are counted by the minute: an hour at either end would be more than the rest."""

Points = list[list[tuple[datetime, int, float]]]
"""Begin, count and value of each bucket that has one, ascending, by the number of the group."""


class Numbers(NamedTuple):
    """What became of the numbers of a bucket that begins at `at`. They merge; their averages would not.

    A tuple: of the hundreds in an answer each is made in a quarter of the time.
    """

    at: datetime
    n: int
    sum: float
    min: float
    max: float

    def merged(self, other: "Numbers") -> "Numbers":
        """The numbers of both, of the same bucket."""
        return Numbers(
            self.at,
            self.n + other.n,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
        )


def figure(name: str) -> Callable[[Numbers], float]:
    """What gives one of count, avg, min, max and sum."""
    if name == "avg":
        return lambda one: one.sum / one.n
    return attrgetter("n" if name == "count" else name)


async def numbers(reading: Reading, selection: Selection, route: Route) -> list[list[Numbers]]:
    """Numbers of each bucket that has any, ascending, by group.

    Raises a validation error when that would read too much.
    """
    found: list[list[Numbers]] = [[] for _ in selection.labels]
    for piece in route.pieces:
        await check_raw(reading, selection, piece)
        rows = await piece_rows(reading, "numbers", selection, route, piece)
        # Pieces follow each other: they can share a bucket only where one ends and the next begins.
        ends = [buckets.pop() if buckets else None for buckets in found]
        for at, group, n, total, least, greatest in rows:
            one = Numbers(at, n, total, least, greatest)
            end = ends[group]
            if end is not None:
                ends[group] = None
                if end.at == at:
                    one = end.merged(one)
                else:
                    found[group].append(end)
            found[group].append(one)
        for buckets, end in zip(found, ends, strict=True):
            if end is not None:
                buckets.append(end)
    return found


async def count_raw(reading: Reading, selection: Selection, asked: TimeRange) -> int:
    """How many raw samples a range holds, or somewhat more.

    Raises a validation error when even counting would read too much.
    """
    level: Resolution = "1m" if asked.end - asked.start <= _SHORT else "1h"
    piece = Piece(level, routing.floor(asked.start, level), routing.ceiling(asked.end, level))
    found = await numbers(reading, selection, routing.whole(piece))
    return sum(one.n for buckets in found for one in buckets)


async def check_raw(reading: Reading, selection: Selection, piece: Piece) -> None:
    """Raise a validation error when a piece means reading too many raw samples."""
    if piece.level != "raw" or piece.end - piece.start <= _MINUTE:
        return
    count = await count_raw(reading, selection, TimeRange(piece.start, piece.end))
    if count > MOST_RAW:
        raise too_many("start", f"{count} raw samples (at most {MOST_RAW})")


async def piece_rows(
    reading: Reading, query: str, selection: Selection, route: Route, piece: Piece, *more: object
) -> Rows:
    """Rows of a query of the piece's source, `at` and `grp` telling bucket and group.

    Raises a validation error when it would read too many buckets of a rollup.
    """
    if not selection.ids:
        return []
    buckets = (piece.end - piece.start) // routing.WIDTHS[piece.level]
    if piece.level != "raw" and len(selection.ids) * buckets > _MOST_ROLLED:
        raise too_many("start", f"{len(selection.ids) * buckets} buckets of {piece.level}")
    times = (piece.start, piece.end, *route.grid)
    return await reading.rows(
        f"{query}_{piece.level}", selection.ids, selection.groups, *times, selection.name, *more
    )


def too_many(parameter: str, what: str) -> Exception:
    """The error of a request that would read so much."""
    return bad_parameter(
        parameter,
        f"means reading {what}, which is too much at once: ask for a shorter time, for fewer series by "
        "label or match, or for wider buckets",
    )
