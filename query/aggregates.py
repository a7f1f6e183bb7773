"""Reads count, sum, least and greatest along a route: partial figures of each piece, merged exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from query import columns, routing
from query.columns import Columns, Floats
from query.database import Plan, Reading, Rows
from query.parameters import TimeRange
from query.problems import bad_parameter
from query.routing import Piece, Resolution, Route
from query.series import Selection

MOST_RAW = 2_000_000
"""Raw samples that one request may read: a second, where they have to be sorted."""
_MOST_ROLLED = 5_000_000
"""Rows of a rollup that one request may read."""
_FEW = 1_000
"""Rows of a rollup up to which a plan for all values does as well, and spares a millisecond of planning."""
_MINUTE = timedelta(minutes=1)
_SHORT = timedelta(hours=2)
"""Range whose samples are counted by the minute: an hour at either end would be more than the rest."""

_PARTS = {"avg": ["sum"], "sum": ["sum"], "min": ["min"], "max": ["max"], "count": []}
"""What each figure is made of, besides the count."""


@dataclass(frozen=True)
class Numbers(Columns):
    """What became of the numbers of each bucket that has any.

    They merge; averages would not.
    """

    sum: Floats
    min: Floats
    max: Floats

    @classmethod
    def of(cls, row: Any) -> "Numbers":
        """Those of a group, as the database sends them."""
        parts = (columns.floats(row[name] or b"") for name in ("sum", "min", "max"))
        return cls(columns.times(row["at"]), columns.integers(row["n"]), *parts)

    def figure(self, name: str) -> Floats:
        """One of count, avg, min, max and sum."""
        if name == "avg":
            return self.sum / self.n
        if name == "count":
            return self.n.astype(np.float64)
        found: Floats = getattr(self, name)
        return found


_NO_COUNTS, _NO_FIGURES = np.empty(0, np.int64), np.empty(0)
_NONE = Numbers(_NO_COUNTS, _NO_COUNTS, _NO_FIGURES, _NO_FIGURES, _NO_FIGURES)


def plan_of(bucket: timedelta | None) -> Plan:
    """How to plan what is read in such buckets, as long as it is little.

    Where that is raw samples, for their values: a plan once for all opens the tables of all days.
    """
    return "generic" if bucket is None or bucket >= _MINUTE else "custom"


def parts_of(figures: Sequence[str]) -> list[str]:
    """What to ask `numbers` for."""
    return sorted({part for name in figures for part in _PARTS[name]})


async def numbers(
    reading: Reading, selection: Selection, route: Route, parts: Sequence[str]
) -> list[Numbers]:
    """Numbers of each group; of sum, min and max those that are asked for.

    Raises a validation error when that would read too much.
    """
    found: list[list[Numbers]] = [[] for _ in selection.labels]
    for piece in route.pieces:
        await check_raw(reading, selection, piece)
        for row in await piece_rows(reading, "numbers", selection, route, piece, list(parts)):
            found[row["grp"]].append(Numbers.of(row))
    return [_merged(some) for some in found]


def _merged(pieces: Sequence[Numbers]) -> Numbers:
    """Those of pieces that follow each other: where one ends the next may begin in the same bucket."""
    if len(pieces) <= 1:
        return pieces[0] if pieces else _NONE
    at, n, *parts = columns.joined(pieces).columns
    first = np.flatnonzero(np.diff(at, prepend=at[0] - 1))
    merged = (
        how.reduceat(part, first) if len(part) else part
        for how, part in zip((np.add, np.minimum, np.maximum), parts, strict=True)
    )
    return Numbers(at[first], np.add.reduceat(n, first), *merged)


async def count_raw(reading: Reading, selection: Selection, asked: TimeRange) -> int:
    """How many raw samples a range holds, or somewhat more.

    Raises a validation error when even counting would read too much.
    """
    level: Resolution = "1m" if asked.end - asked.start <= _SHORT else "1h"
    piece = Piece(level, routing.floor(asked.start, level), routing.ceiling(asked.end, level))
    found = await numbers(reading, selection, routing.whole(piece), ())
    return sum(int(one.n.sum()) for one in found)


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
    """Rows of a query of the piece's source, as buckets.sql describes them.

    Raises a validation error when it would read too many buckets of a rollup.
    """
    if not selection.ids:
        return []
    buckets = len(selection.ids) * ((piece.end - piece.start) // routing.WIDTHS[piece.level])
    if piece.level != "raw" and buckets > _MOST_ROLLED:
        raise too_many("start", f"{buckets} buckets of {piece.level}")
    if plan_of(route.bucket) == "generic" and (piece.level == "raw" or buckets > _FEW):
        await reading.rows("plan_for_values")
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
