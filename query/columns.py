"""Figures over time as columns: of the hundreds of buckets in an answer none is an object of its own.

The database sends a column as the bytes of its numbers, one row a group: to read the rows one by one took
longer than to find them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATABASE_EPOCH = (datetime(2000, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Points:
    """A figure by bucket, in columns that ascend by time."""

    at: Integers
    """Where each bucket begins, in microseconds since the epoch."""
    n: Integers
    """Samples in it."""
    value: Floats
    """Not a number where there is none."""

    def __len__(self) -> int:
        """How many buckets."""
        return len(self.at)

    def take(self, chosen: Integers) -> "Points":
        """The points at these positions."""
        return Points(self.at[chosen], self.n[chosen], self.value[chosen])


NO_POINTS = Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def joined(some: Sequence[Points]) -> Points:
    """These one after the other."""
    every = [NO_POINTS, *some]
    columns = ([getattr(one, name) for one in every] for name in ("at", "n", "value"))
    return Points(*map(np.concatenate, columns))


def micros(moment: datetime | timedelta) -> int:
    """Microseconds since the epoch, or of a time."""
    since = moment - _EPOCH if isinstance(moment, datetime) else moment
    return since // timedelta(microseconds=1)


def times(column: bytes) -> Integers:
    """A column of `timestamptz_send`, in microseconds since the epoch."""
    return np.frombuffer(column, ">i8").astype(np.int64) + _DATABASE_EPOCH


def integers(column: bytes) -> Integers:
    """A column of `int8send`."""
    return np.frombuffer(column, ">i8").astype(np.int64)


def small_integers(column: bytes) -> Integers:
    """A column of `int4send`."""
    return np.frombuffer(column, ">i4").astype(np.int64)


def floats(column: bytes) -> Floats:
    """A column of `float8send`."""
    return np.frombuffer(column, ">f8").astype(np.float64)
