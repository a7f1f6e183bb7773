"""Remembers figures of time that has settled: a dashboard's next look reads the rest of it only.

An hour has settled when it is past change (see `hour_states`, migration 0024). What is remembered holds while
the versions of its hours do, and they are read before any row is: a change in between gives new rows an old
version, which costs another reading; the other way round an answer would be out of date. Series are known by
their numbers, which no other series ever gets.

What is remembered comes in cells: the shortest times that are whole hours and whole buckets.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import lcm
from typing import Any, Generic
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from query import columns
from query.columns import C, Integers, joined, micros
from query.parameters import EARLIEST, TimeRange
from query.routing import Piece, Route
from query.series import Selection

_HOUR = micros(timedelta(hours=1))
_UNSETTLED = -1
_WIDEST = 7 * 24 * _HOUR
"""Cell: beyond it hardly any is settled."""
_SHORTEST, _LONGEST = timedelta(hours=4), timedelta(hours=10_000)
"""Ranges of which the hours' versions are worth reading."""
_MOST_STRETCHES = 3
"""Of what is remembered: between them the database is asked anew."""
MOST_BYTES = 64 << 20
_ARRAY_BYTES = 112
"""Of an array without anything in it."""


def is_worth_it(asked: TimeRange) -> bool:
    """Whether to read the versions of a range's hours."""
    return _SHORTEST <= asked.end - asked.start <= _LONGEST


@dataclass(frozen=True)
class Hours:
    """Versions of hours, one after the other from `first` on; -1 stands for one that may still change.

    Times are microseconds since the epoch here, as in columns.
    """

    first: int
    versions: Integers

    @classmethod
    def of(cls, row: Any, start: datetime, end: datetime) -> "Hours":
        """Those of [start, end), whole hours, as `hour_states` has them (migration 0024)."""
        first = micros(start)
        versions = np.zeros((micros(end) - first) // _HOUR, np.int64)
        if row["hours"] is not None:
            at = columns.times_of_array(row["hours"])
            versions[(at - first) // _HOUR] = columns.array(row["versions"])
        for marked in row["marked"] or ():
            begin, until = (micros(moment) - first for moment in (marked.lower, marked.upper))
            versions[begin // _HOUR : -(-until // _HOUR)] = _UNSETTLED
        return cls(first, versions)

    def settled(self, route: Route, width: int, now: int) -> "Cells[Any]":
        """Cells, so wide, of what the route reads from its own level."""
        piece = next(piece for piece in route.pieces if piece.level == route.level)
        begin = -(-micros(piece.start) // width) * width
        end = max(begin, min(micros(piece.end), now) // width * width)
        hours = self.versions[(begin - self.first) // _HOUR : (end - self.first) // _HOUR]
        versions = hours.reshape(-1, width // _HOUR)
        past = (versions >= 0).all(axis=1)
        return Cells(width, np.arange(begin, end, width)[past], versions[past])


@dataclass(frozen=True)
class Cells(Generic[C]):
    """Cells by where they begin, ascending, a line of versions each; and the buckets in them, by group."""

    width: int
    starts: Integers
    versions: Integers
    groups: Sequence[C] = ()

    @property
    def nbytes(self) -> int:
        """What it takes, about."""
        arrays = [self.starts, self.versions, *(c for group in self.groups for c in group.columns)]
        return sum(array.nbytes + _ARRAY_BYTES for array in arrays)

    def where(self, chosen: NDArray[np.bool_]) -> "Cells[C]":
        """The cells of which this is true."""
        cells = replace(self, starts=self.starts[chosen], versions=self.versions[chosen])
        return replace(cells, groups=[cells.of(group) for group in self.groups])

    def of(self, found: C) -> C:
        """Those of the buckets that lie in the cells."""
        return found.take(np.isin(found.at // self.width * self.width, self.starts))

    def remembered(self, held: "Cells[C] | None") -> "Cells[C]":
        """What is held of these cells and still holds, as long as it is in few stretches."""
        if held is None:
            return Cells(self.width, self.starts[:0], self.versions[:0])
        mine, its = (np.column_stack([one.starts, one.versions]) for one in (self, held))
        if not np.array_equal(mine, its):
            there = np.searchsorted(self.starts, held.starts).clip(max=len(self.starts) - 1)
            same: NDArray[np.bool_] = (mine[there] == its).all(axis=1)
            held = held.where(same)
        return held.longest(_MOST_STRETCHES)

    def rest(self, piece: Piece) -> Iterator[Piece]:
        """What of a piece lies in none of the cells."""
        at = piece.start
        for begin, end in self._stretches():
            if at < (until := _moment(self.starts[begin])):
                yield replace(piece, start=at, end=until)
            at = _moment(self.starts[end - 1] + self.width)
        if at < piece.end:
            yield replace(piece, start=at)

    def longest(self, most: int) -> "Cells[C]":
        """The cells of the longest stretches."""
        stretches = sorted(self._stretches(), key=lambda one: one[0] - one[1])
        if len(stretches) <= most:
            return self
        chosen = np.zeros(len(self.starts), np.bool_)
        for begin, end in stretches[:most]:
            chosen[begin:end] = True
        return self.where(chosen)

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Where cells that touch begin and end."""
        gaps = np.flatnonzero(np.diff(self.starts) != self.width) + 1
        if len(self.starts):
            yield from pairwise([0, *gaps.tolist(), len(self.starts)])


class Memory:
    """What one process remembers; past so many bytes it forgets what was not asked for the longest."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, Cells[Any]] = OrderedDict()
        self._size = 0

    def forget(self) -> None:
        """Everything."""
        self._held.clear()
        self._size = 0

    def recollection(self, tenant: UUID, hours: Hours, now: datetime) -> "Recollection":
        """Of one request."""
        return Recollection(self, tenant, hours, micros(now))

    def find(self, key: Hashable) -> "Cells[Any] | None":
        """What is held under a key."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def keep(self, key: Hashable, cells: "Cells[Any]") -> None:
        """Hold this in place of what was."""
        if (before := self._held.pop(key, None)) is not None:
            self._size -= before.nbytes
        self._held[key] = cells
        self._size += cells.nbytes
        while self._size > self._most:
            self._size -= self._held.popitem(last=False)[1].nbytes


@dataclass(frozen=True)
class Recollection:
    """The memory, as a request may use it."""

    memory: Memory
    tenant: UUID
    hours: Hours
    now: int
    """No hour that ends later is past."""

    async def completed(
        self,
        selection: Selection,
        route: Route,
        kind: Hashable,
        read: Callable[[Route], Awaitable[Sequence[C]]],
    ) -> Sequence[C]:
        """What `read` gives of a route with buckets, by group; it is asked for what is not remembered.

        `kind` says what it gives: equal of reads that give the same.
        """
        width = lcm(micros(route.grid[0]), _HOUR)
        settled = self.hours.settled(route, width, self.now)
        if width > _WIDEST or not len(settled.starts):
            return await read(route)
        key = self._key(selection, route, kind)
        held: Cells[C] = settled.remembered(self.memory.find(key))
        pieces = tuple(
            rest
            for piece in route.pieces
            for rest in (held.rest(piece) if piece.level == route.level else (piece,))
        )
        if not pieces:
            return held.groups
        found = await read(replace(route, pieces=pieces))
        if held.groups:
            found = [_in_order(joined(pair)) for pair in zip(held.groups, found, strict=True)]
        if len(held.starts) < len(settled.starts):
            self.memory.keep(key, replace(settled, groups=[settled.of(one) for one in found]))
        return found

    def _key(self, selection: Selection, route: Route, kind: Hashable) -> Hashable:
        """Of a range that moves along with the time: how long it is, and how many days ago it ended.

        Another one each hour: should a job of the database be late by more than it ever should, the next
        hour has what it did.
        """
        start, end = micros(route.asked.start), micros(route.asked.end)
        span, ago = round((end - start) / _HOUR), max(0, self.now - end) // (24 * _HOUR)
        series = np.array([selection.ids, selection.groups]).tobytes()
        what = (self.tenant, series, kind, route.level, route.bucket, span, ago)
        return what, (self.now + hash(what)) // _HOUR


def _in_order(found: C) -> C:
    if (np.diff(found.at) > 0).all():
        return found
    return found.take(np.argsort(found.at, kind="stable"))


def _moment(at: np.int64) -> datetime:
    return EARLIEST + timedelta(microseconds=int(at))
