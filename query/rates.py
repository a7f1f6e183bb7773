"""Reads the rate of counters: how fast they grow, a reset counting from zero."""

from datetime import datetime

import numpy as np

from query import columns
from query.aggregates import piece_rows
from query.columns import NO_POINTS, Points, micros
from query.database import Reading
from query.routing import Route
from query.series import Selection
from query.subject import REACH


async def rates(
    reading: Reading, selection: Selection, route: Route, now: datetime
) -> list[Points]:
    """By group: increase a second, of what of each bucket lies in the route's range and has passed.

    Each series is followed by itself: the reset of one is not hidden by the growth of another. From raw
    samples it is exact; from a rollup it is estimated. Buckets in which nothing follows a value of its
    series are left out. Raises a validation error when that would read too much.
    """
    (piece,) = route.pieces
    width, passed = micros(route.grid[0]), micros(now)
    found = [NO_POINTS for _ in selection.labels]
    rows = await piece_rows(reading, "increases", selection, route, piece, piece.start - REACH)
    for row in rows:
        at = columns.times(row["at"])
        begin, end = np.maximum(at, micros(piece.start)), np.minimum(at + width, micros(piece.end))
        end = np.where((begin < passed) & (passed < end), passed, end)
        rate = columns.floats(row["increase"]) / ((end - begin) / 1e6)
        found[row["grp"]] = Points(at, columns.integers(row["n"]), rate)
    return found
