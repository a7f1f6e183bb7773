"""Reads the rate of counters: how fast they grow, a reset counting from zero."""

from datetime import datetime, timedelta

from query.aggregates import Key, piece_rows
from query.database import Reading
from query.routing import Route
from query.series import Selection

REACH = timedelta(hours=1)
"""How far before a range a counter's last value is looked for."""


async def rates(
    reading: Reading, selection: Selection, route: Route, now: datetime
) -> dict[Key, tuple[int, float]]:
    """Count, and increase a second, of what of each bucket lies in the route's range and has passed.

    Each series is followed by itself: the reset of one is not hidden by the growth of another. From raw
    samples it is exact; from a rollup it is estimated. Buckets in which nothing follows a value of its
    series are left out. Raises a validation error when that would read too much.
    """
    (piece,) = route.pieces
    width, _ = route.grid
    found: dict[Key, tuple[int, float]] = {}
    rows = await piece_rows(reading, "increases", selection, route, piece, piece.start - REACH)
    for row in rows:
        if row["increase"] is not None:
            begin, end = max(row["at"], piece.start), min(row["at"] + width, piece.end)
            if begin < now < end:
                end = now
            seconds = (end - begin).total_seconds()
            found[row["at"], row["grp"]] = (row["n"], row["increase"] / seconds)
    return found
