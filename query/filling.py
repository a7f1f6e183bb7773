"""Fills the buckets that have no number, so that a chart needs no rules of its own."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal

from query.parameters import EARLIEST, TimeRange

Filling = Literal["none", "null", "zero", "previous"]
Value = tuple[int, float | None]
"""How many samples, and what became of them."""


def fill(
    found: Mapping[datetime, Value], asked: TimeRange, bucket: timedelta, how: Filling
) -> list[tuple[datetime, int, float | None]]:
    """Begin, count and value of each bucket of a range, ascending; with `none` only those found.

    `previous` repeats the value before; where there is none yet, the value is None.
    """
    if how == "none":
        return [(at, *found[at]) for at in sorted(found)]
    last: float | None = None
    filled: list[tuple[datetime, int, float | None]] = []
    for at in _buckets(asked, bucket):
        n, value = found.get(at, (0, 0.0 if how == "zero" else last if how == "previous" else None))
        last = value
        filled.append((at, n, value))
    return filled


def _buckets(asked: TimeRange, bucket: timedelta) -> Iterator[datetime]:
    at = EARLIEST + (asked.start - EARLIEST) // bucket * bucket
    while at < asked.end:
        yield at
        at += bucket
