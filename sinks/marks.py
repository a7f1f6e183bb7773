"""Which minutes a batch changes: what the rollups are to compute anew."""

import numpy as np
from numpy.typing import NDArray

MOST_MARKS = 100
"""Runs of minutes that one batch marks as changed."""

_MINUTE = 60_000_000


def touched(micros: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Runs of whole minutes that hold these times: first microseconds, and last ones + 1.

    At most MOST_MARKS: where times are scattered wider, the shortest gaps count as touched. To compute
    a minute anew that did not change costs a little, and a mark costs every batch.
    """
    if not len(micros):
        return [], []
    minutes = micros // _MINUTE
    first = minutes.min()
    flags = np.zeros(minutes.max() - first + 1, np.bool_)
    flags[minutes - first] = True
    found = np.flatnonzero(flags)
    gaps = np.flatnonzero(np.diff(found) > 1)
    if len(gaps) >= MOST_MARKS:
        widths = np.diff(found)[gaps]
        gaps = np.sort(gaps[np.argpartition(widths, -MOST_MARKS + 1)[-MOST_MARKS + 1 :]])
    begins = found[np.concatenate(([0], gaps + 1))]
    ends = found[np.concatenate((gaps, [len(found) - 1]))] + 1
    return ((begins + first) * _MINUTE).tolist(), ((ends + first) * _MINUTE).tolist()
