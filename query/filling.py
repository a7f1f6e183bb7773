"""Fills the buckets that have no number, so that a chart needs no rules of its own."""

from datetime import timedelta
from typing import Literal

import numpy as np

from query.columns import Points, micros
from query.parameters import TimeRange

Filling = Literal["none", "null", "zero", "previous"]


def fill(found: Points, asked: TimeRange, bucket: timedelta, how: Filling) -> Points:
    """Points of each bucket of a range, aligned to the epoch as those found are; with `none` only those.

    `previous` repeats the value before; where there is none yet, there is no value.
    """
    if how == "none":
        return found
    width = micros(bucket)
    every = np.arange(
        micros(asked.start) // width * width, micros(asked.end), width, dtype=np.int64
    )
    there = np.isin(every, found.at)
    before = np.searchsorted(found.at, every, side="right")
    n = np.append(0, found.n)[np.where(there, before, 0)]
    value = np.append(np.nan, found.value)[
        before if how == "previous" else np.where(there, before, 0)
    ]
    if how == "zero":
        value[~there] = 0
    return Points(every, n, value)
