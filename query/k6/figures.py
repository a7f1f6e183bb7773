"""Makes figures of rows of aggregates; percentiles of several rows only by merging their sketches."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from query import sketches
from query.database import Rows
from query.sketches import RELATIVE_ERROR

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
UNKNOWN: dict[str, float | None] = dict.fromkeys(PERCENTILES)
"""Percentiles by name, that are not known."""
_IN_A_THREAD = 1_000_000
"""Bytes of sketches: to merge more takes longer than other requests should wait."""
_NO_SKETCH = (
    "percentiles are missing where rows without sketches would have to be merged: of runs that were "
    "aggregated before there were any, and of longer selections than sketches are merged for"
)


class Figures(msgspec.Struct, frozen=True):
    """Of one metric in one place: a time, a run, an endpoint."""

    # Not a dataclass: thousands of them are made for an answer.

    n: int
    sum: float
    min: float
    max: float
    percentiles: Sequence[float] | None
    """Those of `PERCENTILES`; None when they are not known."""

    @property
    def mean(self) -> float:
        """Of the values; of a rate, the share that is not zero."""
        return self.sum / self.n

    @property
    def named(self) -> dict[str, float | None]:
        """The percentiles by name."""
        if self.percentiles is None:
            return UNKNOWN
        return dict(zip(PERCENTILES, self.percentiles, strict=True))


@dataclass(frozen=True)
class Exactness:
    """What is to be said of percentiles."""

    merged: bool = False
    missing: bool = False

    def and_of(self, other: "Exactness") -> "Exactness":
        """What is to be said of both."""
        return Exactness(self.merged or other.merged, self.missing or other.missing)

    def fields(self, reason: str | None = None) -> dict[str, Any]:
        """The fields of an answer that say it; the reason is one that goes before its own."""
        return {
            "exact": not self.merged,
            "relative_error": RELATIVE_ERROR if self.merged else None,
            "reason": reason or (_NO_SKETCH if self.missing else None),
        }


async def figures(rows: Rows) -> tuple[list[Figures], Exactness]:
    """Figures of each row, in the shape that k6.sql describes, and how exact their percentiles are."""
    places = [
        place
        for place, row in enumerate(rows)
        if row["exact"] is None and row["classes"] is not None
    ]
    classes = [rows[place]["classes"] for place in places]
    large = sum(map(len, classes)) > _IN_A_THREAD
    merged = await asyncio.to_thread(_merge, places, classes) if large else _merge(places, classes)
    found = [
        Figures(
            row["n"],
            row["sum"],
            row["min"],
            row["max"],
            merged.get(place) if row["exact"] is None else row["exact"],
        )
        for place, row in enumerate(rows)
    ]
    return found, Exactness(bool(merged), any(one.percentiles is None for one in found))


def _merge(places: Sequence[int], classes: Sequence[bytes]) -> dict[int, list[float]]:
    _, values = sketches.decode(places, classes).percentiles(list(PERCENTILES.values()))
    return dict(zip(places, values, strict=True))
