"""Rows of reduced samples: what is known of a series in half a second, as columns; and their bytes.

Slot s holds the samples of (s - 1, s] half seconds since the epoch, so that a window (t - w, t] is a
number of whole slots. Several rows may be of the same series and slot: of several batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

SLOT = 500_000
"""Microseconds; `schemas.rules.GRID`."""

EXACT = 256
"""Values of a row that are kept one by one for percentiles; more of them are counted by class."""

Part = Literal["sum", "min", "max", "increase", "values"]
PARTS: frozenset[Part] = frozenset(get_args(Part))
"""What is made of the samples of a row only where a rule asks for it."""

T = TypeVar("T", bound=np.generic)
S = TypeVar("S", bound=np.generic)

Column = tuple[str, bytes]
"""How numpy names the kind of its numbers, little-endian, and their bytes."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_GAMMA = np.log(1.01 / 0.99)
_OFFSET = 40_000


@dataclass(frozen=True)
class WatchedRows:
    """Columns, all as long as there are rows, ordered by series and first time.

    Times are microseconds since the epoch. `increase` is that of a counter from the first sample to the
    last: what it went up, and where it went down its value, as it began again at zero.

    A figure of `PARTS` that no rule asks for is empty, and NaN as it is read from a record; in rows of
    one sample it is known anyway.

    Of series that a percentile rule watches the values are kept: one by one in rows of few, by class
    in rows of more than EXACT. In rows of one sample they always are, as it is known anyway.
    """

    series: Integers
    n: Integers
    first_ts: Integers
    last_ts: Integers
    first: Floats
    last: Floats
    sum: Floats
    min: Floats
    max: Floats
    increase: Floats
    exact_of: Integers
    """Of each row, how many of `exact` are its: n or none."""
    exact: Floats
    """Values, row after row, in the order of time."""
    classes_of: Integers
    """Of each row, how many of `keys` and `counts` are its."""
    keys: NDArray[np.int32]
    """Classes, row after row, ascending within one; see `class_of`."""
    counts: Integers
    """Values in each class."""

    def __len__(self) -> int:
        """How many rows."""
        return len(self.series)

    def take(self, chosen: Integers) -> "WatchedRows":
        """The rows at these places."""
        exact, classes = (
            places_of((counts.cumsum() - counts)[chosen], counts[chosen])
            for counts in (self.exact_of, self.classes_of)
        )
        return WatchedRows(
            self.series[chosen],
            self.n[chosen],
            self.first_ts[chosen],
            self.last_ts[chosen],
            self.first[chosen],
            self.last[chosen],
            _where(self.sum, chosen),
            _where(self.min, chosen),
            _where(self.max, chosen),
            _where(self.increase, chosen),
            self.exact_of[chosen],
            self.exact[exact],
            self.classes_of[chosen],
            self.keys[classes],
            self.counts[classes],
        )

    @property
    def slot(self) -> Integers:
        """Of each row: (slot - 1) * SLOT < first_ts <= last_ts <= slot * SLOT."""
        return slot_of(self.first_ts)


def slot_of(ts: Integers) -> Integers:
    """The slots of these times."""
    return -(-ts // SLOT)


def starts_of(column: Integers) -> Integers:
    """Where a column has another value than before."""
    return np.flatnonzero(np.append(True, column[1:] != column[:-1])[: len(column)])


def places_of(begin: Integers, n: Integers) -> Integers:
    """The places of slices, one after the other: of each, `n` places from `begin` on."""
    places: Integers = np.arange(n.sum())
    places += np.repeat(begin - (n.cumsum() - n), n)
    return places


def class_of(values: Floats) -> NDArray[np.int32]:
    """Classes of values, 2 % wide: the database's `sketch_key`, to the class."""
    size = np.abs(values)
    logarithms = np.log(size, where=size > 0, out=np.zeros(len(values)))
    keys = np.sign(values) * (np.ceil(logarithms / _GAMMA) + _OFFSET)
    return np.asarray(keys, np.int32)


def value_of(keys: NDArray[np.int32]) -> Floats:
    """The value that stands for a class: at most 1 % from any in it."""
    sizes = np.exp((np.abs(keys) - _OFFSET) * _GAMMA) * 0.99
    return np.where(keys == 0, 0.0, np.sign(keys) * sizes)


def packed(rows: WatchedRows, cuts: Sequence[int]) -> list[list[Column]]:
    """Of the rows between each of these places and the next: the columns but for `series`.

    Those that a row of one sample does not need are only of the others. The first is the time that all
    others are after. Integers are as narrow as they can be, which takes half the time of compression.
    Columns are made once for all parts: a dozen small ones cost as much as one of a dozen times the size.
    """
    many = rows.n > 1
    begin = rows.first_ts.min(initial=_LAST)
    at = np.array(cuts)
    inside, exact, classes = (
        np.append(0, counts.cumsum())[at].tolist()
        for counts in (many, np.where(many, rows.exact_of, 0), rows.classes_of)
    )
    columns = [
        (cuts, narrow(rows.n)),
        (cuts, narrow(rows.first_ts - begin)),
        (cuts, rows.first.astype("<f8")),
        (inside, narrow((rows.last_ts - rows.first_ts)[many])),
        *(
            (inside, _where(column, many).astype("<f8"))
            for column in (rows.last, rows.sum, rows.min, rows.max, rows.increase)
        ),
        (inside, narrow(rows.exact_of[many])),
        (exact, rows.exact[np.repeat(many, rows.exact_of)].astype("<f8")),
        (inside, narrow(rows.classes_of[many])),
        (classes, rows.keys.astype("<i4")),
        (classes, narrow(rows.counts)),
    ]
    first = column_of(np.array([begin], "<i8"))
    return [
        [first, *(column_of(data[ends[i] : ends[i + 1]]) for ends, data in columns)]
        for i in range(len(cuts) - 1)
    ]


def narrow(column: Integers) -> NDArray[Any]:
    """A column of integers from 0 on, in as few bytes as the largest needs."""
    kind = np.min_scalar_type(column.max(initial=0)).newbyteorder("<")
    return column.astype(kind)


def column_of(data: NDArray[Any]) -> Column:
    """A column as it is written."""
    return data.dtype.str, data.tobytes()


def read(column: Column) -> NDArray[Any]:
    """What a column holds. Raises ValueError for one that is none."""
    kind, data = column
    if kind not in _KINDS:
        raise ValueError(f"{kind} is no kind of column")
    return np.frombuffer(data, kind)


def unpacked(series: Integers, columns: Sequence[Column]) -> WatchedRows:
    """The rows of these columns. Raises ValueError where they don't fit together."""
    found = [read(column) for column in columns]
    begin, n, since, first, after, last, *figures, exact_of, exact, classes_of, keys, counts = found
    many = n > 1
    figures = [one if len(one) else np.full(many.sum(), np.nan) for one in figures]
    for fitting in (
        (len(begin), 1),
        (len(series), len(n), len(since), len(first)),
        (many.sum(), len(after), len(last), *map(len, figures), len(exact_of), len(classes_of)),
        (exact_of.sum(), len(exact)),
        (classes_of.sum(), len(keys), len(counts)),
    ):
        if len(set(fitting)) > 1:
            raise ValueError("the columns are not of one length")
    last, total, least, most, increase = (
        _spread(column, many, otherwise)
        for column, otherwise in zip(
            [last, *figures], (*[first] * 4, np.zeros(len(n))), strict=True
        )
    )
    spread = _spread(exact_of, many, np.ones(len(n), np.int64))
    none = np.zeros(len(n), np.int64)
    first_ts = begin + since.astype(np.int64)
    return WatchedRows(
        series.astype(np.int64),
        n.astype(np.int64),
        first_ts,
        first_ts + _spread(after, many, none),
        first.astype(np.float64),
        last,
        total,
        least,
        most,
        increase,
        spread,
        _spread(exact, np.repeat(many, spread), np.repeat(first, spread)),
        _spread(classes_of, many, none),
        keys.astype(np.int32),
        counts.astype(np.int64),
    )


def _where(column: Floats, chosen: Integers | NDArray[np.bool_]) -> Floats:
    """The figures of these rows, where they are made."""
    return column[chosen] if len(column) else column


def _spread(column: NDArray[T], mask: NDArray[np.bool_], otherwise: NDArray[S]) -> NDArray[S]:
    """`otherwise`, with the column in place of it where the mask is true."""
    full = otherwise.copy()
    full[mask] = column
    return full


_KINDS = {"|u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f8"}
_LAST = np.iinfo(np.int64).max
