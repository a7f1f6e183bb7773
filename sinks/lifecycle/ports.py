"""What can be done about the age of samples, the same in both storage modes, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from schemas.lifecycle import Level, Record

Progress = Callable[[str], None]
"""Told, in words, what is done next; may be called from a long loop only."""


@dataclass(frozen=True)
class Refreshed:
    """Marks that were taken, and rows of rollups and sketches that changed (TimescaleDB: of sketches)."""

    steps: int = 0
    marks: int = 0
    changed: int = 0

    def __add__(self, other: "Refreshed") -> "Refreshed":
        return Refreshed(
            self.steps + other.steps, self.marks + other.marks, self.changed + other.changed
        )


@dataclass(frozen=True)
class Part:
    """A partition or chunk of a level, holding [begin, end)."""

    level: Level
    name: str
    begin: datetime
    end: datetime
    bytes: int
    compacted: bool


@dataclass(frozen=True)
class Removal:
    """Something that is past its retention.

    drop: the whole part; thin out: all of the part but series that a definition keeps longer; delete:
    rows of series that a definition keeps shorter, or of a table without parts, as alerts are.
    """

    action: Literal["drop", "thin out", "delete"]
    level: Level | Record | Literal["versions"]
    part: str
    begin: datetime | None
    end: datetime
    rows: int | None
    bytes: int | None
    reason: str
    series: tuple[int, ...] = field(default=(), repr=False)
    """Thin out: the series to keep; delete: those to delete, or none for all."""
    undefined: bool = False
    """Delete only sketches that no definition asks for."""


@dataclass(frozen=True)
class Compacted:
    """A part before and after, in bytes."""

    part: str
    before: int
    after: int


@dataclass(frozen=True)
class LevelStatus:
    """How a level stands. Rows are estimates; lag is in seconds behind now, None for raw."""

    level: Level
    parts: int
    compacted: int
    bytes: int
    rows: int
    ratio: float | None
    """Bytes before compression to bytes after, of the compressed parts."""
    oldest: datetime | None
    newest: datetime | None
    until: datetime | None
    lag: float | None
    refreshed_at: datetime | None


@dataclass(frozen=True)
class PolicyStatus:
    """Something that happens by itself, and how it went last."""

    name: str
    every: float | None
    """Seconds; None for what maintenance does on its own schedule."""
    last_run: datetime | None
    last_result: str | None
    next_run: datetime | None


@dataclass(frozen=True)
class Due:
    """The part of a level, or the table of records, that goes next, and when."""

    level: Level | Record
    part: str
    at: datetime


@dataclass(frozen=True)
class Status:
    """The whole storage at a moment."""

    mode: Literal["timescaledb", "postgresql"]
    levels: list[LevelStatus]
    marks: dict[str, int]
    oldest_mark: datetime | None
    forgotten_series: int
    policies: list[PolicyStatus]
    next_drops: list[Due]


class Lifecycle(Protocol):
    """One storage mode. Raises Temporary while the database is away, Permanent when it refuses."""

    async def ensure(self, now: datetime, progress: Progress) -> int:
        """Make what the coming days need, or put the policies right; return how much was amiss."""
        ...

    async def refresh(self, now: datetime, progress: Progress) -> Refreshed:
        """Bring the rollups up to what is stored, as far as no background job of the database does."""
        ...

    async def catch_up(self, now: datetime, progress: Progress) -> None:
        """Refresh for samples that came later than the database's own jobs look back."""
        ...

    async def refresh_range(
        self, begin: datetime | None, end: datetime, now: datetime, progress: Progress
    ) -> Refreshed:
        """Compute all levels anew from `begin` on; without it, whatever is known to have changed."""
        ...

    async def removals(self, now: datetime) -> list[Removal]:
        """What is past its retention, oldest first."""
        ...

    async def remove(self, removal: Removal) -> None:
        """Carry out one removal."""
        ...

    async def compact(self, now: datetime, progress: Progress) -> list[Compacted]:
        """Compress or sort what is old enough and is not yet, oldest first."""
        ...

    async def status(self, now: datetime) -> Status:
        """Look at everything and change nothing."""
        ...
