"""The parts of maintenance by name, each recorded with how it went last."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import asyncpg

from schemas.lifecycle import LifecyclePolicy
from schemas.named_queries import load
from sinks.forget import drain
from sinks.lifecycle.ports import Lifecycle, Progress, Removal
from sinks.lifecycle.postgresql import PostgresLifecycle
from sinks.lifecycle.sessions import Sessions
from sinks.lifecycle.timescaledb import TimescaleLifecycle

_SQL = load("sinks.sql", "lifecycle.sql")

PartName = Literal["refresh", "forget", "runs", "ensure", "catch up", "retain", "compact"]
PARTS: tuple[PartName, ...] = get_args(PartName)


@dataclass(frozen=True)
class Done:
    """A part that ran: what it did, as a number of things and in words."""

    part: PartName
    count: int
    told: str


async def open_lifecycle(
    pool: "asyncpg.Pool[asyncpg.Record]", policy: LifecyclePolicy
) -> Lifecycle:
    """The lifecycle of the mode that migrate recorded; the pool is in the role headrace_owner."""
    mode = await Sessions(pool).value(_SQL["mode"])
    return (TimescaleLifecycle if mode == "timescaledb" else PostgresLifecycle)(pool, policy)


async def _elsewhere() -> tuple[int, str]:
    return 0, "left to a worker"


class Maintenance:
    """Runs parts, each at any time and any number of times."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        lifecycle: Lifecycle,
        clock: Callable[[], datetime],
        runs: Callable[[], Awaitable[tuple[int, str]]] | None = None,
    ) -> None:
        """`runs` is the part of that name, for which it takes more than the database."""
        self._pool = pool
        self._db = Sessions(pool)
        self._lifecycle = lifecycle
        self._clock = clock
        self._runs = runs or _elsewhere

    async def run(self, part: PartName, progress: Progress) -> Done:
        """Run a part. Raises what it fails with, after it is recorded."""
        async with self._recorded(part) as told:
            count, words = (
                await self._runs()
                if part == "runs"
                else await self._run(part, self._clock(), progress)
            )
            told.append(words)
        return Done(part, count, words)

    async def _run(self, part: PartName, now: datetime, progress: Progress) -> tuple[int, str]:
        if part == "refresh":
            done = await self._lifecycle.refresh(now, progress)
            return done.changed, f"{done.marks} marks, {done.changed} rows in {done.steps} steps"
        if part == "forget":
            rows = await drain(
                self._pool,
                lambda done: progress(f"{done.rows} rows deleted, {done.series_left} series left"),
            )
            return rows, f"{rows} rows of deleted series"
        if part == "ensure":
            made = await self._lifecycle.ensure(now, progress)
            return made, f"{made} made or put right"
        if part == "catch up":
            await self._lifecycle.catch_up(now, progress)
            return 0, "done"
        if part == "retain":
            removed = await self.retain(now, progress)
            return len(removed), f"{len(removed)} removals"
        compacted = await self._lifecycle.compact(now, progress)
        return len(compacted), f"{len(compacted)} parts"

    async def retain(self, now: datetime, progress: Progress) -> list[Removal]:
        """Remove what is past its retention; return what that was."""
        # After days without maintenance there may be samples that are in no rollup yet.
        await self._lifecycle.refresh(now, progress)
        await self._lifecycle.catch_up(now, progress)
        removals = await self._lifecycle.removals(now)
        for removal in removals:
            progress(f"{removal.action} {removal.part}: {removal.reason}")
            await self._lifecycle.remove(removal)
        return removals

    @asynccontextmanager
    async def _recorded(self, part: PartName) -> AsyncIterator[list[str]]:
        await self._db.execute(_SQL["begin_part"], part)
        told: list[str] = []
        try:
            yield told
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._db.execute(_SQL["end_part"], part, None, str(error))
            raise
        await self._db.execute(_SQL["end_part"], part, told[-1], None)
