"""Thins a series to the points that show its shape."""

from collections.abc import Sequence

import numpy as np
from tsdownsample import M4Downsampler

from query.columns import Floats, Integers

_OF_A_STRETCH = 4
"""M4 keeps the first, the last, the least and the greatest of each stretch."""


def thin(values: Sequence[float | None] | Floats, most: int) -> Integers:
    """Positions of at most `most` (8 or more) of these values, ascending.

    The first, the last, the least and the greatest of all are among them. What has no finite value is
    left out, but only when there are too many.
    """
    if len(values) <= most:
        return np.arange(len(values))
    column = np.array(values, np.float64)
    valued = np.flatnonzero(np.isfinite(column))
    if len(valued) <= most:
        return valued
    # Stretches of so many points: those of equal time lose the last point where times are uneven.
    thinner = M4Downsampler()  # type: ignore[no-untyped-call]  # the library types all but this
    kept = thinner.downsample(column[valued], n_out=most // _OF_A_STRETCH * _OF_A_STRETCH)
    found: Integers = valued[np.unique(kept)]
    return found
