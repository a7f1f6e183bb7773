"""What settling a run is given, and the ports through which it acts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from sinks.runs import Behind


@dataclass(frozen=True)
class SettleRun:
    """The input: which run, whose offsets tell what is stored, after how many seconds silence counts."""

    execution_id: UUID
    consumer_group: str
    grace: float


@dataclass(frozen=True)
class Position:
    """The last record that there was of a partition."""

    topic: str
    partition: int
    last_offset: int


TopicEnds = Callable[[], Awaitable[list[Position]]]
"""Where the topic of samples ends now; partitions that never held a record are left out."""

Start = Callable[[UUID], Awaitable[None]]
"""Starts a run's post-test; may be repeated."""


class Positions(Protocol):
    """How far ingest is; see `sinks.runs.RunStore`."""

    async def not_passed(
        self, last: Mapping[tuple[str, int], int], consumer_group: str
    ) -> list[Behind]:
        """Return those of these partitions whose offset ingest has not stored yet."""
        ...


class Settling(Protocol):
    """See `sinks.run_upkeep.RunUpkeep`."""

    async def settle(self, execution: UUID, grace: timedelta) -> bool:
        """Close or open a run; return whether it is to be aggregated now."""
        ...
