"""Figures over time as columns: of the hundreds of buckets in an answer none is an object of its own.

The database sends a column as the bytes of its numbers, one row a group: to read the rows one by one took
longer than to find them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATABASE_EPOCH = (datetime(2000, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)

_ELEMENT = np.dtype([("size", ">i4"), ("value", ">i8")])
_ELEMENTS_BEGIN = 20
"""Of `array_send`: behind its dimension, flags, type, length and lower bound."""


@dataclass(frozen=True)
class Columns:
    """What is known of buckets of time, in columns that ascend by time; one that is not wanted is empty."""

    at: Integers
    """Where each bucket begins, in microseconds since the epoch."""
    n: Integers
    """Samples in it."""

    def __len__(self) -> int:
        """How many buckets."""
        return len(self.at)

    def take(self, chosen: NDArray[Any]) -> Self:
        """The buckets at these positions, or where this is true."""
        return type(self)(*(column[chosen] if len(column) else column for column in self.columns))

    @property
    def columns(self) -> list[NDArray[Any]]:
        """All of them, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True)
class Points(Columns):
    """A figure by bucket."""

    value: Floats
    """Not a number where there is none."""


NO_POINTS = Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

C = TypeVar("C", bound=Columns)


def joined(some: Sequence[C]) -> C:
    """These, of which there is one at least, one after the other."""
    first, *more = some
    if not more:
        return first
    return type(first)(*map(np.concatenate, zip(*(one.columns for one in some), strict=True)))


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


def array(column: bytes) -> Integers:
    """What `array_send` makes of bigint, none of it NULL."""
    return np.frombuffer(column, _ELEMENT, offset=_ELEMENTS_BEGIN)["value"].astype(np.int64)


def times_of_array(column: bytes) -> Integers:
    """What `array_send` makes of timestamptz, in microseconds since the epoch."""
    return array(column) + _DATABASE_EPOCH


def small_integers(column: bytes) -> Integers:
    """A column of `int4send`."""
    return np.frombuffer(column, ">i4").astype(np.int64)


def floats(column: bytes) -> Floats:
    """A column of `float8send`."""
    return np.frombuffer(column, ">f8").astype(np.float64)
