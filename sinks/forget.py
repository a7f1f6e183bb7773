"""Deletes a tenant or a metric: out of sight at once, out of the database in bounded steps.

`Forgetting.forget` is one short transaction: series, catalog and definitions go, and from its commit on
nobody sees a sample of theirs, nor stores another under the old number. `drain` then deletes the rows,
wherever it was interrupted before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from schemas.errors import Invalid, Temporary
from schemas.named_queries import load
from sinks.copy import Connection

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_SQL = load("sinks.sql", "forget.sql")
_LEVELS = (0, 1, 2, 3)
_HOUR = 3600.0
"""Seconds for statements whose time grows with what is deleted."""


class Removal(NamedTuple):
    """How much of a kind goes; `estimated` where counting would take as long as deleting."""

    what: str
    n: int
    estimated: bool


class Target(NamedTuple):
    """A tenant, or one metric of it."""

    tenant: UUID
    metric: str | None


class Part(NamedTuple):
    """A table, or a stretch of one, that has rows of series.

    Rows of a level are made from those of the level before, so that is deleted from first.
    """

    level: int
    target: str
    condition: str
    points: bool
    """Whether its rows are of load-test runs."""


@dataclass(frozen=True)
class Drained:
    """How far a drain is."""

    series: int = 0
    runs: int = 0
    rows: int = 0
    series_left: int = 0
    runs_left: int = 0


@dataclass(frozen=True)
class DrainPolicy:
    """How large steps are."""

    batch: int = 5_000
    """Series that are deleted from one part after the other, then done with."""
    first: int = 100
    """Series in the first statement; halved after a slow one and doubled after a fast one."""
    slow: float = 2.0
    fast: float = 0.5
    gap: int = 64
    """In the columnstore a statement unpacks what lies between its first and last series: numbers further
    apart than this go in different ones."""
    look: float = 0.1
    """Seconds between looks at whether everybody sees the deletion."""


class Forgetting:
    """Plans and carries out deletions, in the role headrace_owner."""

    def __init__(self, pool: Pool, *, patience: float = 60.0) -> None:
        self._pool = pool
        self._patience = patience

    async def find(self, tenant: str, metric: str | None = None) -> Target:
        """What is meant by these names. Raises Invalid when there is no such tenant or metric."""
        found = await self._pool.fetchval(_SQL["tenant"], tenant)
        if found is None:
            raise Invalid("unknown_tenant", f"There is no tenant {tenant!r}: headrace tenants list")
        if metric is not None and not await self._pool.fetchval(
            _SQL["known_metric"], found, metric
        ):
            raise Invalid("unknown_metric", f"Tenant {tenant} has no metric {metric!r}.")
        return Target(found, metric)

    async def plan(self, target: Target) -> list[Removal]:
        """What would go."""
        rows = await self._pool.fetch(_SQL["plan"], *target, timeout=_HOUR)
        return [Removal(*row) for row in rows]

    async def forget(self, target: Target) -> int:
        """Put it out of sight for good and return the number of its series.

        Deliveries under way end first. Raises Temporary when one does not end within the patience, and
        Invalid when somebody else has deleted the tenant.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                return int(await self._pool.fetchval(_SQL["forget"], *target, timeout=_HOUR))
            except asyncpg.NoDataFoundError as error:
                raise Invalid("unknown_tenant", "The tenant is deleted already.") from error
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise Temporary(
                        "A writer holds on to its transaction (is an ingest process paused?). "
                        "Nothing is deleted: end it, and try again."
                    ) from error
                # Those who queued behind us go first.
                await asyncio.sleep(1)


async def drain(
    pool: Pool,
    progress: Callable[[Drained], None] = lambda _: None,
    policy: DrainPolicy = DrainPolicy(),
    clock: Callable[[], float] = monotonic,
) -> int:
    """Delete the rows of forgotten series and runs, in the role headrace_owner; return how many.

    May be cancelled, called again, and called twice at once: what is done stays done. `progress` is
    told after each step. Raises what asyncpg raises.
    """
    return (await _Drain(pool, progress, policy, clock).run()).rows


class _Drain:
    def __init__(
        self,
        pool: Pool,
        progress: Callable[[Drained], None],
        policy: DrainPolicy,
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._progress = progress
        self._policy = policy
        self._clock = clock
        self._columnstore = False
        self._size = policy.first
        self._done = Drained()

    async def run(self) -> Drained:
        left = await self._pool.fetchrow(_SQL["left"])
        self._tell(series_left=left["series"], runs_left=left["runs"])
        self._columnstore = await self._pool.fetchval(_SQL["mode"]) == "timescaledb"
        await self._drop_runs()
        while rows := await self._pool.fetch(_SQL["some_series"], self._policy.batch):
            await self._erase([row["series_id"] for row in rows])
            await self._drop_runs()
        return self._done

    def _tell(self, **changes: int) -> None:
        self._done = replace(self._done, **changes)
        self._progress(self._done)

    async def _drop_runs(self) -> None:
        while runs := await self._pool.fetch(_SQL["some_runs"]):
            for (execution,) in runs:
                async with self._step() as connection:
                    await connection.execute(_SQL["drop_raw"], execution, timeout=_HOUR)
                    await connection.execute(_SQL["drop_run"], execution)
                self._tell(runs=self._done.runs + 1, runs_left=max(0, self._done.runs_left - 1))

    async def _erase(self, series: Sequence[int]) -> None:
        for level in _LEVELS:
            for part in await self._parts(level):
                await self._erase_part(part, series)
            # A refresh that began before would store the next level from what it still sees of this one.
            await self._seen_by_all()
        await self._pool.execute(_SQL["drained"], series)
        n = len(series)
        self._tell(series=self._done.series + n, series_left=max(0, self._done.series_left - n))

    async def _parts(self, level: int) -> list[Part]:
        mode = "timescaledb" if self._columnstore else "postgresql"
        parts = [Part(*row) for row in await self._pool.fetch(_SQL[f"parts_{mode}"])]
        return [part for part in parts if part.level == level]

    async def _erase_part(self, part: Part, series: Sequence[int]) -> None:
        position = 0
        while position < len(series):
            some = series[position : position + self._size]
            if self._columnstore:
                some = some[: _together(some, self._policy.gap)]
            started = self._clock()
            try:
                rows = await self._delete(part, some)
            except asyncpg.UndefinedTableError:
                return  # its time was over, and it went with all that was in it
            took = self._clock() - started
            if took > self._policy.slow:
                self._size = max(1, self._size // 2)
            elif took < self._policy.fast:
                self._size = min(self._policy.batch, self._size * 2)
            position += len(some)
            self._tell(rows=self._done.rows + rows)

    async def _delete(self, part: Part, series: Sequence[int]) -> int:
        # Table and condition come from the catalog, quoted.
        chosen = (
            f"FROM {part.target} WHERE {part.condition}"
            " AND series_id BETWEEN $1 AND $2 AND series_id = ANY ($3::bigint[])"
        )
        given = series[0], series[-1], series
        async with self._step() as connection:
            runs: list[UUID] = []
            if part.points:
                query = f"SELECT DISTINCT execution_id {chosen}"
                runs = [row[0] for row in await connection.fetch(query, *given, timeout=_HOUR)]
            answer = await connection.execute(f"DELETE {chosen}", *given, timeout=_HOUR)
            if runs:
                await connection.execute(_SQL["orphans"], runs)
        return int(answer.split()[-1])

    @asynccontextmanager
    async def _step(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["one_at_a_time"], timeout=_HOUR)
            if self._columnstore:
                await connection.execute(_SQL["any_size"])
            yield connection

    async def _seen_by_all(self) -> None:
        fence = await self._pool.fetchval(_SQL["fence"])
        while await self._pool.fetchval(_SQL["looking_back"], fence):
            self._tell()
            await asyncio.sleep(self._policy.look)


def _together(series: Sequence[int], gap: int) -> int:
    """How many of these ascending numbers lie side by side, from the first on."""
    for position in range(1, len(series)):
        if series[position] - series[position - 1] > gap:
            return position
    return len(series)
