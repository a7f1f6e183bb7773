"""Reads count, sum, least and greatest along a route: partial figures of each piece, merged exactly."""

from datetime import datetime, timedelta
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
    """What became of the numbers of a bucket. They merge; their averages would not.

    A tuple: of the hundreds in an answer each is made in a quarter of the time.
    """

    n: int
    sum: float
    min: float
    max: float

    def figure(self, name: str) -> float:
        """One of count, avg, min, max and sum."""
        if name == "avg":
            return self.sum / self.n
        figure: float = getattr(self, "n" if name == "count" else name)
        return figure

    def merged(self, other: "Numbers") -> "Numbers":
        """The numbers of both."""
        return Numbers(
            self.n + other.n,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
        )


async def numbers(
    reading: Reading, selection: Selection, route: Route
) -> list[list[tuple[datetime, Numbers]]]:
    """Begin and numbers of each bucket that has any, ascending, by group.

    Raises a validation error when that would read too much.
    """
    found: list[list[tuple[datetime, Numbers]]] = [[] for _ in selection.labels]
    for piece in route.pieces:
        await check_raw(reading, selection, piece)
        rows = await piece_rows(reading, "numbers", selection, route, piece)
        for at, group, n, total, least, greatest in rows:
            one, buckets = Numbers(n, total, least, greatest), found[group]
            # Pieces follow each other: they can share a bucket only where one ends and the next begins.
            if buckets and buckets[-1][0] == at:
                one = buckets.pop()[1].merged(one)
            buckets.append((at, one))
    return found


async def count_raw(reading: Reading, selection: Selection, asked: TimeRange) -> int:
    """How many raw samples a range holds, or somewhat more.

    Raises a validation error when even counting would read too much.
    """
    level: Resolution = "1m" if asked.end - asked.start <= _SHORT else "1h"
    piece = Piece(level, routing.floor(asked.start, level), routing.ceiling(asked.end, level))
    found = await numbers(reading, selection, routing.whole(piece))
    return sum(one.n for buckets in found for _, one in buckets)


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
