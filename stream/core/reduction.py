"""Reduces samples to rows of half a second (`schemas.watched_rows`), column by column."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from schemas.watched_rows import (
    EXACT,
    PARTS,
    Floats,
    Integers,
    Part,
    WatchedRows,
    class_of,
    places_of,
    slot_of,
    starts_of,
)


def reduced(
    series: Integers,
    ts: Integers,
    values: Floats,
    keep: NDArray[np.bool_] | None = None,
    *,
    parts: Collection[Part] = PARTS,
) -> WatchedRows:
    """Rows of samples in any order: a row for each series and slot.

    `ts` is in microseconds since the epoch. `keep` tells the samples of series whose values percentiles
    are made of; of the figures in `PARTS` those in `parts` are made. Of samples of one time the order is that in which they come.
    """
    if not _ordered(series, ts):
        order = np.lexsort((ts, series))
        series, ts, values = series[order], ts[order], values[order]
        keep = None if keep is None else keep[order]
    runs = starts_of(series)
    return of_runs(
        runs, series[runs], ts, values, None if keep is None else keep[runs], parts=parts
    )


def of_runs(
    runs: Integers,
    series: Integers,
    ts: Integers,
    values: Floats,
    keep: NDArray[np.bool_] | None = None,
    *,
    parts: Collection[Part] = PARTS,
) -> WatchedRows:
    """The same of samples that are in order: where each series begins, which it is, whether it is kept."""
    slot = slot_of(ts)
    fresh = np.empty(len(ts), np.bool_)
    np.not_equal(slot[1:], slot[:-1], out=fresh[1:])
    fresh[runs] = True
    first = np.flatnonzero(fresh)
    n = np.diff(first, append=len(ts))
    last = first + n - 1
    of_run = np.searchsorted(runs, first, side="right") - 1
    # A sample by itself is all that its row says: often most of them are, and adding up is slow.
    many = n > 1
    grouped, begin = values, first
    if 2 * np.count_nonzero(many) > len(many):
        many[:] = True
    else:
        grouped = values[places_of(first[many], n[many])]
        begin = n[many].cumsum() - n[many]

    def figure(part: Part, operation: np.ufunc) -> Floats:
        if part not in parts:
            return _NOT_MADE
        found = values[first]
        found[many] = operation.reduceat(grouped, begin)
        return found

    increase = _NOT_MADE
    if "increase" in parts:
        increase = np.zeros(len(first))
        increase[many] = _increases(grouped, begin)
    kept = np.zeros(len(first), np.bool_) if keep is None else keep[of_run]
    exact = (n == 1) | (kept & (n <= EXACT))
    by_class = kept & (n > EXACT)
    classes_of, keys, counts = _classes(
        values[places_of(first[by_class], n[by_class])], n[by_class]
    )
    spread = np.zeros(len(first), np.int64)
    spread[by_class] = classes_of
    return WatchedRows(
        series[of_run],
        n,
        ts[first],
        ts[last],
        values[first],
        values[last],
        figure("sum", np.add),
        figure("min", np.minimum),
        figure("max", np.maximum),
        increase,
        np.where(exact, n, 0),
        values[places_of(first[exact], n[exact])],
        spread,
        keys,
        counts,
    )


def _ordered(series: Integers, ts: Integers) -> bool:
    same = series[1:] == series[:-1]
    return bool(((series[1:] > series[:-1]) | (same & (ts[1:] >= ts[:-1]))).all())


def _increases(values: Floats, first: Integers) -> Floats:
    """Of each row: the sum of its steps up, and of the values behind steps down."""
    steps = np.empty(len(values))
    np.subtract(values[1:], values[:-1], out=steps[1:])
    steps[first] = 0.0
    # Not by a mask: whether a value went down is what the processor can't guess.
    steps = np.maximum(steps, 0.0) + values * (steps < 0)
    return np.add.reduceat(steps, first)


def _classes(values: Floats, n: Integers) -> tuple[Integers, NDArray[np.int32], Integers]:
    """Of rows of `n` values each: how many classes, their keys and their counts."""
    keys = class_of(values).astype(np.int64)
    row = np.repeat(np.arange(len(n)), n)
    cells, counts = np.unique((row << 32) + (keys + (1 << 31)), return_counts=True)
    spread = np.bincount(cells >> 32, minlength=len(n))
    return spread, ((cells & 0xFFFFFFFF) - (1 << 31)).astype(np.int32), counts


_NOT_MADE = np.empty(0)
