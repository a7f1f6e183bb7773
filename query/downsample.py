"""Thins a series to the points that show its shape."""

from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import TypeVar

import numpy as np
from tsdownsample import M4Downsampler

_OF_A_STRETCH = 4
"""M4 keeps the first, the last, the least and the greatest of each stretch."""

_Point = TypeVar("_Point", bound=tuple[datetime, int, float | None])


def thin(points: Sequence[_Point], most: int) -> list[_Point]:
    """At most `most` (8 or more) of the points, ascending in time as they come.

    The first, the last, the least and the greatest of all are among them. Points without a finite value
    are left out, but only when there are too many points.
    """
    if len(points) <= most:
        return list(points)
    valued = [point for point in points if point[2] is not None and isfinite(point[2])]
    if len(valued) <= most:
        return valued
    values = np.array([value for _, _, value in valued], np.float64)
    # Stretches of so many points: those of equal time lose the last point where times are uneven.
    thinner = M4Downsampler()  # type: ignore[no-untyped-call]  # the library types all but this
    kept = thinner.downsample(values, n_out=most // _OF_A_STRETCH * _OF_A_STRETCH)
    return [valued[index] for index in np.unique(kept)]
