"""Decides which run a point belongs to, and when a run is over.

A run ends where the next point is more than `idle` later by the points' own times, so a replay divides
a topic as the first reading did. The clock only ends a run that nothing has followed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid5

import msgspec

from producers.k6.source.marks import Mark, Positions
from producers.k6.source.messages import EndMarker, Item
from schemas.envelopes import raw_bytes
from schemas.k6 import Point

_RUNS = UUID("9b1f4a52-6f0e-4f0a-9d0b-0c6f5d2f7d13")
"""Namespace of execution ids; changing it makes a replay strange."""

GRACE = 5.0
"""Seconds by which the clock ends a run later than a point would: k6 flushes once a second, and Kafka
may keep a producer waiting."""

_MARKERS = 100
"""End markers remembered, so that a late copy of one ends nothing more."""
_CACHED = 20_000


@dataclass(frozen=True)
class Rules:
    """How a topic is divided. `run_tag` makes one run of each of its values, even at the same time."""

    group: str
    topic: str
    idle: float
    run_tag: str | None = None


@dataclass
class Run:
    """A run under way. Times are epoch seconds, `heard` is the consumer's own clock."""

    execution_id: UUID
    tag: str
    first: float
    latest: float
    heard: float
    next: Positions = field(default_factory=dict)


class Boundaries:
    """The runs that are open, and what was already taken."""

    def __init__(
        self, rules: Rules, open_runs: Iterable[Run] = (), taken: dict[str, Positions] | None = None
    ) -> None:
        self._rules = rules
        self.open = {run.tag: run for run in open_runs}
        self._taken = taken or {}
        """Of runs that are over, by tag: a message below is not taken again."""
        self._seen = 0.0
        """Time of the latest point, of whatever run."""
        self._markers: dict[str, None] = {}
        self._tags: dict[bytes, str] = {}

    def tag(self, point: Point) -> str:
        """The value of the run tag."""
        if self._rules.run_tag is None:
            return ""
        raw = raw_bytes(point.data.tags)
        tag = self._tags.get(raw)
        if tag is None:
            if len(self._tags) >= _CACHED:
                self._tags.clear()
            tag = self._tags[raw] = _value(raw, self._rules.run_tag)
        return tag

    def known(self, item: Item, tag: str) -> bool:
        """Whether a run has taken this message: it is read again after a restart or by a replay."""
        partition, offset = item.message.partition, item.message.offset
        run = self.open.get(tag)
        return offset < self._taken.get(tag, {}).get(partition, 0) or (
            run is not None and offset < run.next.get(partition, 0)
        )

    def over(self, item: Item, tag: str) -> Run | None:
        """The run that this point shows to be over."""
        run = self.open.get(tag)
        return run if run and item.moment > run.latest + self._rules.idle else None

    def begin(self, item: Item, tag: str, now: float) -> Run:
        """Open a run with this point; its id follows from where it began."""
        at = f"{item.message.partition}/{item.message.offset}"
        name = f"{self._rules.group}/{self._rules.topic}/{tag}/{at}"
        run = Run(uuid5(_RUNS, name), tag, item.moment, item.moment, now)
        self.open[tag] = run
        return run

    def take(self, run: Run, item: Item, now: float) -> None:
        """Count a point in."""
        run.next[item.message.partition] = item.message.offset + 1
        run.latest = max(run.latest, item.moment)
        self._seen = max(self._seen, item.moment)
        run.heard = now

    def close(self, run: Run) -> None:
        """A run's end is published."""
        del self.open[run.tag]
        taken = self._taken.setdefault(run.tag, {})
        for partition, offset in run.next.items():
            taken[partition] = max(taken.get(partition, 0), offset)

    def ended_by(self, item: Item, marker: EndMarker) -> list[Run]:
        """The runs that a marker ends: those that began before it. A later copy of it ends none."""
        if marker.id in self._markers:
            return []
        self._markers[marker.id] = None
        if len(self._markers) > _MARKERS:
            del self._markers[next(iter(self._markers))]
        partition, offset = item.message.partition, item.message.offset
        return [
            run
            for run in self.open.values()
            if marker.tag in {None, run.tag}
            # Read again after a restart, a marker lies before the runs that followed it.
            and run.first <= item.moment
            and run.next.get(partition, 0) <= offset
        ]

    def passed(self) -> list[Run]:
        """Runs that others have gone on without for so long that nothing will follow."""
        return [
            run for run in self.open.values() if self._seen > run.latest + self._rules.idle + GRACE
        ]

    def silent(self, now: float) -> list[Run]:
        """Runs that nothing has followed for so long that nothing will; for a moment with nothing left to read."""
        return [run for run in self.open.values() if now - run.heard > self._rules.idle + GRACE]

    def deaf(self, now: float) -> None:
        """Kafka can't be heard: that is no silence."""
        for run in self.open.values():
            run.heard = now


def taken_by(marks: Iterable[Mark]) -> dict[str, Positions]:
    """What finished runs have taken, by tag."""
    taken: dict[str, Positions] = {}
    for mark in marks:
        for partition, offset in mark.next.items():
            of = taken.setdefault(mark.tag, {})
            of[partition] = max(of.get(partition, 0), offset)
    return taken


def _value(raw: bytes, key: str) -> str:
    try:
        value = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get(key)
        return "" if value is None else msgspec.json.decode(value, type=str, strict=False)
    except msgspec.DecodeError:
        return ""
