"""A batch in the making: segments, rejects, and the series that nobody knew yet."""

from collections.abc import Callable
from typing import Protocol, cast
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from schemas.batches import Record, Refusal, Reject
from schemas.errors import Invalid
from schemas.series import Key, Series, canonical, parse_key
from sinks.series import PastLimit
from stream.ingest.segments import Segment


class Cache(Protocol):
    """The part of the series dictionary that needs no database."""

    def of(self, tenant: UUID) -> dict[Key, int]:
        """The fast look-up of a tenant."""
        ...

    def recall(self, tenant: UUID, key: Key) -> int | None:
        """The slower look-up."""
        ...

    def refusal(self, tenant: UUID, key: Key) -> PastLimit | None:
        """Why this series was refused a while ago."""
        ...


class Tenants(Protocol):
    """Who may send, from memory."""

    def find(self, spelling: str) -> UUID | None:
        """The tenant that this text names."""
        ...


class Draft:
    """What the readers fill: one for all chunks of a batch."""

    def __init__(self, records: list[Record], cache: Cache) -> None:
        self.records = records
        self.segments: list[Segment] = []
        self.rejects: list[Reject] = []
        self.refusals: list[Refusal] = []
        self.strangers: list[tuple[int, str]] = []
        """Records (by index) whose tenant is not known, and how they spell it."""
        self._cache = cache
        self._unknown: dict[tuple[UUID, Key], int] = {}

    def mark(self) -> tuple[int, int, int]:
        """Where the draft stands before a record is read; `undo` goes back to it."""
        return len(self.segments), len(self.rejects), len(self.strangers)

    def undo(self, mark: tuple[int, int, int]) -> None:
        """Forget what was read since the mark."""
        del self.segments[mark[0] :], self.rejects[mark[1] :], self.strangers[mark[2] :]

    def reject(
        self, index: int, item: int | None, error: Invalid, execution: bytes | None = None
    ) -> None:
        """Put a record, or one sample of it, aside."""
        self.rejects.append(Reject(self.records[index], item, error.reason, str(error), execution))

    def fill_unknown(self, tenant: UUID, keys: list[Key], found: list[int | None]) -> None:
        """Replace each None in `found` by an old cache entry or by a placeholder below zero."""
        for position, number in enumerate(found):
            if number is None:
                key = keys[position]
                known = self._cache.recall(tenant, key)
                if known is None:
                    known = -1 - self._unknown.setdefault((tenant, key), len(self._unknown))
                found[position] = known

    def unknown(self) -> list[tuple[UUID, Key, Series | Invalid]]:
        """The unknown series by placeholder: canonical, or wrong, or known to be past a limit."""
        return [
            (tenant, key, self._cache.refusal(tenant, key) or _canonical(tenant, key))
            for tenant, key in self._unknown
        ]

    def settle(self, numbers: list[int | Invalid]) -> None:
        """Put the numbers of the unknown series in, and take the samples of those without one out."""
        if not numbers:
            return
        resolved = np.array([0 if isinstance(n, Invalid) else n for n in numbers], np.int64)
        for position, segment in enumerate(self.segments):
            placeholder = segment.series < 0
            segment.series[placeholder], before = (
                resolved[-1 - segment.series[placeholder]],
                segment.series.copy(),
            )
            wrong = segment.series == 0
            if wrong.any():
                self._take_out(position, wrong, (-1 - before).tolist(), numbers)

    def _take_out(
        self,
        position: int,
        wrong: NDArray[np.bool_],
        unknown: list[int],
        numbers: list[int | Invalid],
    ) -> None:
        """Samples past a limit are refused: counted, with an example. The others are rejects.

        Points of a run are rejects in either case: its ledger knows stored and dead-lettered, and
        the post-test workflow waits until they add up to what the runner sent.
        """
        segment, series = self.segments[position], list(self._unknown)
        refused: dict[tuple[int, str], list[int]] = {}
        for i in np.flatnonzero(wrong).tolist():
            error, index = cast("Invalid", numbers[unknown[i]]), int(segment.record[i])
            if isinstance(error, PastLimit) and segment.execution is None:
                refused.setdefault((index, error.reason), []).append(unknown[i])
            else:
                self.reject(index, int(segment.item[i]), error, segment.execution)
        for (index, reason), found in refused.items():
            tenant, key = series[found[-1]]
            self.refusals.append(Refusal(self.records[index], tenant, reason, len(found), key))
        self.segments[position] = segment.keep(~wrong)

    def enforce(
        self, position: int, wrong: NDArray[np.bool_], error_of: Callable[[int], Invalid]
    ) -> None:
        """Turn the samples of a segment where `wrong` is true into rejects."""
        if not wrong.any():
            return
        segment = self.segments[position]
        for i in np.flatnonzero(wrong).tolist():
            place = int(segment.record[i]), int(segment.item[i])
            self.reject(*place, error_of(i), segment.execution)
        self.segments[position] = segment.keep(~wrong)


def _canonical(tenant: UUID, key: Key) -> Series | Invalid:
    try:
        name, labels = parse_key(key) if isinstance(key, str) else key
        return canonical(tenant, name, labels)
    except Invalid as error:
        return error
