"""Merges sketches and reads percentiles from them: counts of values by logarithmic class (DDSketch).

The classes are the database's (`sketch_key`, `sketch_value`): 2 % wide, so a value that is read back is
at most 1 % off. Counts of the same class add up, in whatever order, which is all that merging takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from query.columns import Integers

RELATIVE_ERROR = 0.01

_CLASS = np.dtype([("key", ">i4"), ("n", ">i8")])
_GAMMA = log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_OFFSET = 40_000
"""Added to the logarithm's class, so that keys of positive values are positive, and 0 is that of zero."""
_ZERO = 1 << 17
"""Of a cell's number in the class: beyond the key of any number there is."""

_DENSE = 8
"""Cells of a table for each class that is put into it, at most."""


@dataclass(frozen=True)
class Sketches:
    """Sketches of many places at once: an object for each would cost ten times as much.

    A place is any number from 0 on. Cells are place and key in one; they ascend and are distinct.
    """

    cells: Integers
    counts: Integers

    @property
    def places(self) -> Integers:
        """Those that have a sketch, ascending."""
        return self.cells[self._firsts()] // (2 * _ZERO)

    def merged(self, other: "Sketches") -> "Sketches":
        """Those of both; where they have the same place, the sketch of both."""
        if not self.cells.size:
            return other
        return _of(
            np.concatenate([self.cells, other.cells]), np.concatenate([self.counts, other.counts])
        )

    def percentiles(self, shares: Sequence[float]) -> tuple[list[int], list[list[float]]]:
        """Of each place in turn: how many values, and those at these shares (0 to 1) of their ranks.

        Interpolated between ranks as PostgreSQL does it.
        """
        if not self.cells.size:
            return [], []
        first = self._firsts()
        upto = self.counts.cumsum()
        before = upto[first] - self.counts[first]
        n = np.append(before[1:], upto[-1:]) - before
        ranks = np.outer(n - 1, shares)
        below = self._values(upto, before, np.floor(ranks))
        above = self._values(upto, before, np.ceil(ranks))
        values = below + (above - below) * (ranks - np.floor(ranks))
        return n.tolist(), values.tolist()

    def _firsts(self) -> Integers:
        """Where the cells of each place begin."""
        return np.flatnonzero(np.diff(self.cells // (2 * _ZERO), prepend=-1))

    def _values(
        self, upto: Integers, before: Integers, ranks: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        found = np.searchsorted(upto, before[:, None] + ranks.astype(np.int64), side="right")
        keys = self.cells[found] % (2 * _ZERO) - _ZERO
        sizes = np.exp((np.abs(keys) - _OFFSET) * _GAMMA) * (1 - RELATIVE_ERROR)
        return np.where(keys == 0, 0.0, np.sign(keys) * sizes)


NONE = Sketches(np.empty(0, np.int64), np.empty(0, np.int64))


def decode(places: Sequence[int], classes: Sequence[bytes]) -> Sketches:
    """The sketches that these classes make, in any order; a place and a key may come more than once."""
    sizes = np.fromiter(map(len, classes), np.int64, len(classes))
    return divided(np.array(places, np.int64), sizes, b"".join(classes))


def divided(places: Integers, sizes: Integers, classes: bytes) -> Sketches:
    """As `decode`, the classes in one: so many bytes are of each place."""
    found = np.frombuffer(classes, _CLASS)
    sizes = sizes // _CLASS.itemsize
    keys, counts = found["key"].astype(np.int64), found["n"].astype(np.int64)
    distinct, numbers = np.unique(places, return_inverse=True)
    lowest = keys.min(initial=_ZERO)
    width = int(keys.max(initial=lowest) - lowest) + 1
    if distinct.size * width <= _DENSE * keys.size:
        # Values of one metric lie close together: to add up in a table takes a third of sorting. Exact,
        # as floats are up to 2 ** 53.
        table = np.bincount(np.repeat(numbers, sizes) * width + (keys - lowest), counts)
        at = np.flatnonzero(table)
        cells = distinct[at // width] * (2 * _ZERO) + _ZERO + lowest + at % width
        return Sketches(cells, table[at].astype(np.int64))
    return _of(np.repeat(places, sizes) * (2 * _ZERO) + _ZERO + keys, counts)


def _of(cells: Integers, counts: Integers) -> Sketches:
    if not cells.size:
        return NONE
    if (cells[1:] > cells[:-1]).all():  # a sketch a place, in order: nothing to merge
        return Sketches(cells, counts)
    order = np.argsort(cells, kind="stable")
    cells = cells[order]
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    return Sketches(cells[first], np.add.reduceat(counts[order], first))
