"""What is remembered of one series: its rows of half seconds, in order of time, as far as windows reach.

Rows of one slot may be several, from several batches, and may come late; a slot is never split.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from schemas.watched_rows import Floats, WatchedRows, starts_of, value_of

SLOT_OF, N, FIRST_TS, LAST_TS, FIRST, LAST, SUM, MIN, MAX, INCREASE = range(10)
"""Lines of a block; a column of it is a row of the record. All are exact as floats: times are below 2^53."""

Values = tuple[Floats, Floats | None]
"""Values of a row and how often each is there; None: once."""


def block_of(rows: WatchedRows) -> Floats:
    """The rows, a column each."""
    return np.array(
        (
            *(rows.slot, rows.n, rows.first_ts, rows.last_ts, rows.first, rows.last),
            *(rows.sum, rows.min, rows.max, rows.increase),
        ),
        np.float64,
    )


def values_of(rows: WatchedRows) -> list[Values | None]:
    """Of each row its values, as far as they were kept."""
    exact = np.append(0, rows.exact_of.cumsum()).tolist()
    classes = np.append(0, rows.classes_of.cumsum()).tolist()
    found: list[Values | None] = []
    for i in range(len(rows)):
        if exact[i + 1] > exact[i]:
            found.append((rows.exact[exact[i] : exact[i + 1]].copy(), None))
        elif classes[i + 1] > classes[i]:
            inside = slice(classes[i], classes[i + 1])
            found.append((value_of(rows.keys[inside]), rows.counts[inside].astype(np.float64)))
        else:
            found.append(None)
    return found


def spans(rows: WatchedRows) -> list[tuple[int, int, int]]:
    """Of each series in the rows: its number, where its rows begin and where they end."""
    starts = starts_of(rows.series).tolist()
    ids = rows.series[starts].tolist() if starts else []
    return list(zip(ids, starts, [*starts[1:], len(rows)], strict=True))


class Window(NamedTuple):
    """The rows of one series in a window."""

    block: Floats
    values: Sequence[Values | None]
    """Empty where nobody asks for percentiles."""


class History:
    """The rows of one series. `keeps` tells whether values are remembered, for percentiles."""

    def __init__(self, *, keeps: bool = False) -> None:
        self._block = np.empty((10, 16))
        self._values: list[Values | None] = []
        self._end = 0
        self._keeps = keeps
        self.last = 0
        """The newest slot."""

    def keep(self, keeps: bool) -> None:
        """Remember values from now on, or no longer."""
        if keeps != self._keeps:
            self._keeps = keeps
            self._values = [None] * self._end if keeps else []

    def add(self, block: Floats, values: Sequence[Values | None], oldest: int) -> None:
        """Add rows, ordered by time; those up to slot `oldest` are in no window any more."""
        count = block.shape[1]
        if self._end + count > self._block.shape[1]:
            self._make_room(count, oldest)
        times = self._block[FIRST_TS, : self._end]
        place = int(times.searchsorted(block[FIRST_TS, 0], side="right"))
        late = place < self._end
        self._block[:, self._end : self._end + count] = block
        self._end += count
        if self._keeps:
            self._values.extend(values)
        if late:
            self._sort(place)
        self.last = int(self._block[SLOT_OF, self._end - 1])

    def window(self, after: int, until: int) -> Window | None:
        """The rows of slots (after, until]; None where there are none."""
        slots = self._block[SLOT_OF, : self._end]
        begin, end = slots.searchsorted((after, until), side="right").tolist()
        if begin == end:
            return None
        return Window(self._block[:, begin:end], self._values[begin:end])

    def first_after(self, slot: int) -> int | None:
        """The first slot behind this one that has a row."""
        if self.last <= slot:
            return None
        slots = self._block[SLOT_OF, : self._end]
        return int(slots[slots.searchsorted(slot, side="right")])

    def _make_room(self, count: int, oldest: int) -> None:
        gone = int(self._block[SLOT_OF, : self._end].searchsorted(oldest, side="right"))
        del self._values[:gone]
        held = self._block[:, gone : self._end]
        self._block = np.empty((10, max(16, 2 * (held.shape[1] + count))))
        self._block[:, : held.shape[1]] = held
        self._end = held.shape[1]

    def _sort(self, place: int) -> None:
        """Put the rows from `place` on in order: what comes late is late by little."""
        tail = self._block[:, place : self._end]
        order = np.argsort(tail[FIRST_TS], kind="stable")
        tail[:] = tail[:, order]
        if self._keeps:
            self._values[place:] = [self._values[place + i] for i in order.tolist()]
