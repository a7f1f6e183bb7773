"""How the storage stands: the facts that both modes share, and the status that is made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from schemas.lifecycle import Level, LifecyclePolicy, Record
from schemas.named_queries import load
from sinks.lifecycle import incidents
from sinks.lifecycle.ports import Due, LevelStatus, Part, PolicyStatus, Status
from sinks.lifecycle.retention import due
from sinks.lifecycle.sessions import Sessions

_SQL = load("sinks.sql", "lifecycle.sql")


@dataclass(frozen=True)
class Common:
    """What is read the same way in both modes."""

    watermarks: dict[str, asyncpg.Record]
    marks: dict[str, int]
    oldest_mark: datetime | None
    forgotten: int
    maintenance: list[PolicyStatus]
    sketches: asyncpg.Record
    ended: list[tuple[Record, str, datetime]]
    """The alert and the remediation that ended first: kind, table, when."""

    def status(
        self,
        mode: Literal["timescaledb", "postgresql"],
        levels: list[LevelStatus],
        parts: Sequence[Part],
        policy: LifecyclePolicy,
        *,
        policies: list[PolicyStatus],
        now: datetime,
    ) -> Status:
        """Put the parts together."""
        first: dict[Level, Due] = {}
        for part in sorted(parts, key=lambda part: part.begin):
            first.setdefault(part.level, due(part, policy))
        records = [Due(kind, table, at + policy.records[kind]) for kind, table, at in self.ended]
        return Status(
            mode,
            [*levels, self._sketch_status(now)],
            self.marks,
            self.oldest_mark,
            self.forgotten,
            [*policies, *self.maintenance],
            sorted([*first.values(), *records], key=lambda one: one.at),
        )

    def _sketch_status(self, now: datetime) -> LevelStatus:
        mark, size = self.watermarks["sketch"], self.sketches
        return LevelStatus(
            "sketch", 1, 0, size["bytes"], size["rows"], None, size["oldest"], size["newest"],
            mark["until"], lag(mark["until"], now), mark["refreshed_at"],
        )  # fmt: skip


async def common(sessions: Sessions) -> Common:
    """Read it."""
    marks = await sessions.fetch(_SQL["marks"])
    return Common(
        watermarks={row["level"]: row for row in await sessions.fetch(_SQL["watermarks"])},
        marks={row["level"]: row["waiting"] for row in marks},
        oldest_mark=min((row["oldest"] for row in marks), default=None),
        forgotten=int(str(await sessions.value(_SQL["forgotten"]))),
        maintenance=[_part_of_maintenance(r) for r in await sessions.fetch(_SQL["maintenance"])],
        sketches=(await sessions.fetch(_SQL["sketch_size"]))[0],
        ended=await incidents.oldest(sessions),
    )


def level_status(
    level: Level, parts: Sequence[Part], rows: int, shared: Common, now: datetime
) -> LevelStatus:
    """A level in the PostgreSQL mode: sorted, never compressed."""
    mark = shared.watermarks.get(level)
    until = mark["until"] if mark else None
    return LevelStatus(
        level,
        len(parts),
        sum(part.compacted for part in parts),
        sum(part.bytes for part in parts),
        rows,
        None,
        min((part.begin for part in parts), default=None),
        max((part.end for part in parts), default=None),
        until,
        lag(until, now),
        mark["refreshed_at"] if mark else None,
    )


def lag(until: datetime | None, now: datetime) -> float | None:
    """Seconds that a level is behind."""
    return None if until is None else (now - until).total_seconds()


def _part_of_maintenance(row: asyncpg.Record) -> PolicyStatus:
    result = f"failed: {row['error']}" if row["error"] else row["result"]
    return PolicyStatus(
        f"maintenance: {row['part']}", None, row["ended_at"] or row["began_at"], result, None
    )
