"""Reads the rate of counters: how fast they grow, a reset counting from zero."""

from datetime import datetime

from query.aggregates import Points, piece_rows
from query.database import Reading
from query.routing import Route
from query.series import Selection
from query.subject import REACH


async def rates(reading: Reading, selection: Selection, route: Route, now: datetime) -> Points:
    """Begin, count, and increase a second, of what of each bucket lies in the route's range and has passed.

    Each series is followed by itself: the reset of one is not hidden by the growth of another. From raw
    samples it is exact; from a rollup it is estimated. Buckets in which nothing follows a value of its
    series are left out. Raises a validation error when that would read too much.
    """
    (piece,) = route.pieces
    width, _ = route.grid
    found: Points = [[] for _ in selection.labels]
    rows = await piece_rows(reading, "increases", selection, route, piece, piece.start - REACH)
    for row in rows:
        if row["increase"] is not None:
            begin, end = max(row["at"], piece.start), min(row["at"] + width, piece.end)
            if begin < now < end:
                end = now
            seconds = (end - begin).total_seconds()
            found[row["grp"]].append((row["at"], row["n"], row["increase"] / seconds))
    return found
