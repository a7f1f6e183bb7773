"""Reduces samples to rows of half a second (`schemas.watched_rows`), column by column."""

import numpy as np
from numpy.typing import NDArray

from schemas.watched_rows import EXACT, Floats, Integers, WatchedRows, class_of, slot_of


def reduced(
    series: Integers, ts: Integers, values: Floats, keep: NDArray[np.bool_] | None = None
) -> WatchedRows:
    """Rows of samples in any order: a row for each series and slot.

    `ts` is in microseconds since the epoch. `keep` tells the samples of series whose values percentiles
    are made of. Of samples of one time the order is that in which they come.
    """
    if not _ordered(series, ts):
        order = np.lexsort((ts, series))
        series, ts, values = series[order], ts[order], values[order]
        keep = None if keep is None else keep[order]
    slot = slot_of(ts)
    fresh = np.ones(len(ts), np.bool_)
    fresh[1:] = (slot[1:] != slot[:-1]) | (series[1:] != series[:-1])
    first = np.flatnonzero(fresh)
    n = np.diff(first, append=len(ts))
    last = first + n - 1
    # A sample by itself is all that its row says: often most of them are, and adding up is slow.
    many = n > 1
    grouped, begin = values, first
    if 2 * np.count_nonzero(many) > len(many):
        many[:] = True
    else:
        inside = np.repeat(many, n)
        grouped, fresh = values[inside], fresh[inside]
        begin = np.flatnonzero(fresh)

    def figure(operation: np.ufunc) -> Floats:
        found = values[first]
        found[many] = operation.reduceat(grouped, begin)
        return found

    increase = np.zeros(len(first))
    increase[many] = _increases(grouped, fresh, begin)
    kept = np.zeros(len(first), np.bool_) if keep is None else keep[first]
    exact = (n == 1) | (kept & (n <= EXACT))
    by_class = kept & (n > EXACT)
    classes_of, keys, counts = _classes(np.repeat(by_class, n), values, n[by_class])
    spread = np.zeros(len(first), np.int64)
    spread[by_class] = classes_of
    return WatchedRows(
        series[first],
        n,
        ts[first],
        ts[last],
        values[first],
        values[last],
        figure(np.add),
        figure(np.minimum),
        figure(np.maximum),
        increase,
        np.where(exact, n, 0),
        values[np.repeat(exact, n)],
        spread,
        keys,
        counts,
    )


def _ordered(series: Integers, ts: Integers) -> bool:
    same = series[1:] == series[:-1]
    return bool(((series[1:] > series[:-1]) | (same & (ts[1:] >= ts[:-1]))).all())


def _increases(values: Floats, fresh: NDArray[np.bool_], first: Integers) -> Floats:
    """Of each row: the sum of its steps up, and of the values behind steps down."""
    steps = np.diff(values, prepend=0.0)
    steps = np.where(steps < 0, values, steps)
    steps[fresh] = 0.0
    return np.add.reduceat(steps, first)


def _classes(
    chosen: NDArray[np.bool_], values: Floats, n: Integers
) -> tuple[Integers, NDArray[np.int32], Integers]:
    """Of rows of `n` values each, those chosen: how many classes, their keys and their counts."""
    keys = class_of(values[chosen]).astype(np.int64)
    row = np.repeat(np.arange(len(n)), n)
    cells, counts = np.unique((row << 32) + (keys + (1 << 31)), return_counts=True)
    spread = np.bincount(cells >> 32, minlength=len(n))
    return spread, ((cells & 0xFFFFFFFF) - (1 << 31)).astype(np.int32), counts
