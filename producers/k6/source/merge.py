"""Puts the partitions of the source topic into one order, by time.

The extension writes without keys, so a run lies scattered over all partitions. In a backlog each
partition holds several runs: read one after the other, the last run of one would come before the first
of the next. A partition with nothing at hand holds the others up until it is known to be at its end.
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterable

from producers.k6.source.messages import EndMarker, Item

MARKER_PATIENCE = 5.0
"""Seconds that an end marker waits for its copies in the other partitions: they are written together."""


class Merge:
    """Buffers of partitions. It is handed the time, and which partitions are at their end."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._waiting: dict[int, deque[Item]] = {one: deque() for one in partitions}
        self._held_since: float | None = None

    def short(self, of: int = 1) -> list[int]:
        """Partitions of which fewer items than that are at hand; by default none."""
        return [one for one, waiting in self._waiting.items() if len(waiting) < of]

    def put(self, partition: int, items: Iterable[Item]) -> None:
        """Add what was read from a partition."""
        self._waiting[partition].extend(items)

    def take(self, ended: Collection[int], now: float, limit: int) -> list[Item]:
        """The next items in order, at most `limit`; `ended` are the partitions without more to read."""
        taken: list[Item] = []
        if any(not waiting and one not in ended for one, waiting in self._waiting.items()):
            return taken
        heads = [
            (waiting[0].moment, one)
            for one, waiting in self._waiting.items()
            if waiting and not _is_marker(waiting[0])
        ]
        heapq.heapify(heads)
        while heads and len(taken) < limit:
            _, one = heapq.heappop(heads)
            waiting = self._waiting[one]
            taken.append(waiting.popleft())
            if not waiting and one not in ended:
                return taken
            if waiting and not _is_marker(waiting[0]):
                heapq.heappush(heads, (waiting[0].moment, one))
        if not heads:
            taken += self._past_markers(now)
        return taken

    def _past_markers(self, now: float) -> list[Item]:
        """Every partition is at its end or at a marker: go past the markers when no copy is to come."""
        marked = [waiting for waiting in self._waiting.values() if waiting]
        if not marked:
            return []
        self._held_since = now if self._held_since is None else self._held_since
        if len(marked) < len(self._waiting) and now - self._held_since < MARKER_PATIENCE:
            return []
        self._held_since = None
        return [waiting.popleft() for waiting in marked]


def _is_marker(item: Item) -> bool:
    return isinstance(item.content, EndMarker)
