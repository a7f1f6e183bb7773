"""Fills the buckets that have no number, so that a chart needs no rules of its own."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from query.parameters import EARLIEST, TimeRange

Filling = Literal["none", "null", "zero", "previous"]
Point = tuple[datetime, int, float | None]
"""Begin of a bucket, how many samples, and what became of them."""


def fill(
    found: Sequence[Point], asked: TimeRange, bucket: timedelta, how: Filling
) -> Sequence[Point]:
    """Points of each bucket of a range, ascending as those found are; with `none` only those.

    `previous` repeats the value before; where there is none yet, the value is None.
    """
    if how == "none":
        return found
    values = {at: (n, value) for at, n, value in found}
    last: float | None = None
    filled: list[Point] = []
    for at in _buckets(asked, bucket):
        n, value = values.get(
            at, (0, 0.0 if how == "zero" else last if how == "previous" else None)
        )
        last = value
        filled.append((at, n, value))
    return filled


def _buckets(asked: TimeRange, bucket: timedelta) -> Iterator[datetime]:
    at = EARLIEST + (asked.start - EARLIEST) // bucket * bucket
    while at < asked.end:
        yield at
        at += bucket
