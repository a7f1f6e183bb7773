"""Samples stored as ingest stores them, with their marks, under a lifecycle whose clock is the test's."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from schemas.lifecycle import LifecyclePolicy, floor
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.lifecycle.maintenance import open_lifecycle
from sinks.lifecycle.ports import Lifecycle

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
VIEWS = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR}

Point = tuple[datetime, int, float]


def quiet(words: str) -> None:
    """A progress that nobody watches."""
    del words


def policy(**changed: timedelta) -> LifecyclePolicy:
    """The policy of the default settings, but for `changed` settings."""
    return Settings.model_validate(changed).lifecycle


class Stored:
    """A database, its lifecycle, and what a sink does."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", lifecycle: Lifecycle) -> None:
        self.pool = pool
        self.lifecycle = lifecycle

    async def tenant(self, name: str = "acme") -> UUID:
        """The id of a tenant."""
        found: UUID = await self.pool.fetchval(
            "INSERT INTO tenants (name) VALUES ($1) "
            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING tenant_id",
            name,
        )
        return found

    async def series(self, name: str, **definition: Any) -> int:
        """A new series; with a definition of its metric when any of its columns is given."""
        tenant = await self.tenant()
        number: int = await self.pool.fetchval(
            "INSERT INTO series (tenant_id, name, labels, fingerprint) VALUES ($1, $2, '{}', $3) "
            "RETURNING series_id",
            tenant,
            name,
            uuid4().bytes,
        )
        if definition:
            await self.pool.execute(
                "INSERT INTO definitions (tenant_id, name, type, aggregation, retention_days) "
                "VALUES ($1, $2, $3, 'avg', $4)",
                tenant,
                name,
                definition.get("type", "gauge"),
                definition.get("retention_days"),
            )
        return number

    async def store(self, points: Sequence[Point], *, slice_: int = 500) -> None:
        """Store points and mark their minutes, in one transaction; by the slice, for the WASM build."""
        days = sorted({ts.astimezone(UTC).date() for ts, _, _ in points})
        await self.pool.execute("SELECT ensure_samples($1::date[])", days)
        async with self.pool.acquire() as connection, connection.transaction():
            for first in range(0, len(points), slice_):
                times, series, values = zip(*points[first : first + slice_], strict=True)
                await connection.execute(
                    "INSERT INTO samples (ts, series_id, v_num) "
                    "SELECT * FROM unnest($1::timestamptz[], $2::bigint[], $3::float8[])",
                    times,
                    series,
                    values,
                )
            minutes = sorted({floor(ts, MINUTE) for ts, _, _ in points})
            await connection.execute(
                "INSERT INTO rollup_dirty (level, begin_at, end_at) "
                "SELECT 'raw', m, m + interval '1 minute' FROM unnest($1::timestamptz[]) m",
                minutes,
            )

    async def refresh(self, now: datetime) -> None:
        """Refresh what changed, on TimescaleDB also what its jobs would."""
        await self.lifecycle.refresh_range(None, now, now, quiet)

    async def rollup(
        self, level: str, series: Sequence[int], since: datetime
    ) -> dict[tuple[datetime, int], tuple[float, float, float, int]]:
        """What the view of a level shows: (max, min, sum, n) by bucket and series."""
        rows = await self.pool.fetch(
            f"SELECT * FROM samples_{level} WHERE series_id = ANY ($1) AND bucket >= $2",  # noqa: S608 # 1m, 5m, 1h
            list(series),
            since,
        )
        return {
            (r["bucket"], r["series_id"]): (r["v_max"], r["v_min"], r["v_sum"], r["n"])
            for r in rows
        }


@asynccontextmanager
async def stored(
    dsn: str, wanted: LifecyclePolicy | None = None, *, wasm: bool = False
) -> AsyncIterator[Stored]:
    """Open a migrated database as its owner, by one connection: the WASM build has no more."""
    if wasm:
        pool = await _wasm_pool(dsn)
    else:
        pool = await connect_pool(dsn, role="headrace_owner", application="test", max_size=1)
    try:
        yield Stored(pool, await open_lifecycle(pool, wanted or policy()))
    finally:
        pool.terminate()


async def _wasm_pool(dsn: str) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool on the WASM build, whose catalog only superusers may read, and which a reset spoils."""

    async def keep(connection: object) -> None:
        del connection

    return await asyncpg.create_pool(dsn, min_size=0, max_size=1, reset=keep)


def from_raw(level: str, points: Sequence[Point]) -> dict[tuple[datetime, int], list[float]]:
    """Values by bucket and series."""
    grouped: dict[tuple[datetime, int], list[float]] = {}
    for ts, series, value in points:
        grouped.setdefault((floor(ts, VIEWS[level]), series), []).append(value)
    return grouped
