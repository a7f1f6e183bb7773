"""Knows by its number whether a series is watched, and follows the rules as they change."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Temporary
from schemas.watched import WatchedSeries
from schemas.watched_rows import Integers
from sinks.outages import OUTAGE, classify
from stream.core.watchlist import Watch, WatchedRule, Watchlist
from stream.ingest.metrics import WatchedMetrics

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds until rules are asked for again that could not be read."""

MOST_KNOWN = 500_000
"""Series whose answer is kept, at 8 bytes each if nobody watches them; beyond that all are looked at anew."""

Describe = Callable[
    [Sequence[int], Collection[tuple[UUID, str]]], Awaitable[Sequence[WatchedSeries]]
]
"""Of the series with these numbers, those of one of these metrics."""


Rules = Callable[[], Awaitable[Sequence[WatchedRule]]]
"""Reads every rule that is enabled."""


@dataclass(frozen=True)
class Known:
    """Series whose answer is known; columns over the watched ones and, of all, the place among them."""

    watchlist: Watchlist
    watches: tuple[Watch, ...] = ()
    """Ascending by series, as are the columns."""
    ids: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    """Of all series, ascending."""

    @cached_property
    def series(self) -> Integers:
        """Of each watch."""
        return np.array([watch.series_id for watch in self.watches], np.int64)

    @cached_property
    def entries(self) -> NDArray[np.object_]:
        """Of each watch, what a record's dictionary has."""
        return np.array([*(watch.entry for watch in self.watches), None], np.object_)[:-1]

    @cached_property
    def sizes(self) -> Integers:
        """Of the entries, in bytes."""
        return np.array([len(watch.entry) for watch in self.watches], np.int64)

    @cached_property
    def partitions(self) -> Integers:
        """Of each watch, its partition of the watched topic."""
        return np.array([watch.partition for watch in self.watches], np.int64)

    @cached_property
    def keep(self) -> NDArray[np.bool_]:
        """Of each watch, whether the values are kept."""
        return np.array([watch.keep for watch in self.watches], np.bool_)

    def places(self, ids: Integers) -> Integers:
        """Of these series, all known: the places of their watches, or -1."""
        return _at(self.series, ids)

    def unknown(self, ids: Integers) -> Integers:
        """Those of these series that nobody looked at yet: distinct, ascending."""
        return np.unique(ids[_at(self.ids, ids) < 0])

    def with_answers(self, ids: Integers, watches: Sequence[Watch]) -> "Known":
        """These series known as well: those of `watches` watched, the others not."""
        return Known(
            self.watchlist,
            tuple(sorted((*self.watches, *watches))),
            np.sort(np.concatenate([self.ids, ids])),
        )


def _at(column: Integers, values: Integers) -> Integers:
    """Where these values stand in an ascending column; -1 for one that does not."""
    if not len(column):
        return np.full(len(values), -1)
    found = np.minimum(np.searchsorted(column, values), len(column) - 1)
    return np.where(column[found] == values, found, -1)


class NoTopic(Exception):
    """The broker has not said yet how many partitions the watched topic has."""


class Watching:
    """Answers for batches, one after the other."""

    def __init__(
        self,
        rules: Rules,
        describe: Describe,
        partitions: Callable[[], int],
        *,
        metrics: WatchedMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._read_rules = rules
        self._describe = describe
        self._count = partitions
        self._metrics = metrics
        self._clock = clock
        self._rules: Sequence[WatchedRule] = ()
        self._due = float("-inf")
        self._partitions = 0
        self._known: Known | None = None
        self._one = asyncio.Lock()

    @property
    def needed(self) -> bool:
        """Whether there may be a rule."""
        return bool(self._rules) or self._clock() >= self._due

    def ask_again(self) -> None:
        """The rules may have changed: read them before the next batch."""
        self._due = float("-inf")

    async def learn(self, ids: Integers) -> Known | None:
        """What is known, of these series as well; None where there is no rule.

        Raises NoTopic, and what the database's client raises: then the next batch asks again. Rules that
        can't be read for another reason leave those in force that there were.
        """
        # A batch that is written anew asks beside the next one.
        async with self._one:
            return await self._learn(ids)

    async def _learn(self, ids: Integers) -> Known | None:
        # A producer that is being replaced knows no topic for a moment.
        partitions = self._count() or self._partitions
        read = self._clock() >= self._due and await self._read()
        if read or partitions != self._partitions:
            self._partitions, self._known = partitions, None
        if not self._rules:
            return None
        if not partitions:
            raise NoTopic("it is not known yet how many partitions the watched topic has")
        known = self._known or Known(Watchlist(self._rules, partitions))
        new = known.unknown(ids)
        if len(new):
            if len(known.ids) + len(new) > MOST_KNOWN:
                known, new = Known(known.watchlist), np.unique(ids)
            found = await self._describe(new.tolist(), known.watchlist.metrics)
            known = known.with_answers(new, known.watchlist.watches(found))
        self._known = known
        return known

    async def _read(self) -> bool:
        """Read the rules; whether that went well."""
        # Before the answer: what changes meanwhile is asked for again.
        self._due = float("inf")
        try:
            self._rules = await self._read_rules()
        except Exception as error:
            if isinstance(error, OUTAGE) and isinstance(classify(error), Temporary):
                self._due = float("-inf")
                raise
            self._due = self._clock() + PAUSE
            self._metrics.failures.labels("rules").inc()
            log.exception("the rules can't be read; those of before go on")
            return False
        self._metrics.rules.set(len(self._rules))
        return True
