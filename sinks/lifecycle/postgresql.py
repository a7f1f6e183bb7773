"""The lifecycle on plain PostgreSQL: everything that happens to samples with age, happens here."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schemas.lifecycle import Level, LifecyclePolicy, RollupLevel, floor
from schemas.named_queries import load
from sinks.lifecycle import definitions, standing
from sinks.lifecycle.ports import Compacted, Part, Progress, Refreshed, Removal, Status
from sinks.lifecycle.removals import removals, remove_common
from sinks.lifecycle.sessions import HOUR, Sessions
from sinks.lifecycle.steps import refresh_level

_SQL = load("sinks.sql", "lifecycle_postgresql.sql")
_COMMON = load("sinks.sql", "lifecycle.sql")
_DAYS_AHEAD = 3
_ROLLUPS: tuple[RollupLevel, ...] = ("1m", "5m", "1h")
_LEVELS: tuple[Level, ...] = ("raw", *_ROLLUPS)
_TABLES: dict[Level, tuple[str, str]] = {
    "raw": ("samples", "ts"),
    "1m": ("rollup_1m", "bucket"),
    "5m": ("rollup_5m", "bucket"),
    "1h": ("rollup_1h", "bucket"),
    "sketch": ("sketch_1h", "bucket"),
}
_GOING = "headrace: past its retention"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class PostgresLifecycle:
    """Over partitions, marks and refresh_rollup."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", policy: LifecyclePolicy) -> None:
        self._db = Sessions(pool)
        self._policy = policy

    async def ensure(self, now: datetime, progress: Progress) -> int:
        """Make the partitions of today and the days ahead, of this month and the next."""
        today = now.astimezone(UTC).date()
        days = [today + timedelta(days=n) for n in range(_DAYS_AHEAD + 1)]
        months = [today.replace(day=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)]
        async with self._db.session() as connection:
            await connection.execute(_SQL["one_dropper"])
            await self._finish_drops(connection)
        before = await self._db.value(_SQL["partitions"])
        await self._db.execute(_SQL["ensure"], days, months)
        made = int(str(await self._db.value(_SQL["partitions"]))) - int(str(before))
        if made:
            progress(f"{made} partitions made")
        return made

    async def refresh(self, now: datetime, progress: Progress) -> Refreshed:
        """Store what changed: a minute from raw, five from one, an hour from five, sketches from raw."""
        done = Refreshed()
        for level in _ROLLUPS:
            done += await refresh_level(self._db, level, self._policy.closed(level, now), progress)
        return done + await refresh_level(self._db, "sketch", self._policy.sketched(now), progress)

    async def catch_up(self, now: datetime, progress: Progress) -> None:
        """Nothing: the marks know of samples of any age."""

    async def refresh_range(
        self, begin: datetime | None, end: datetime, now: datetime, progress: Progress
    ) -> Refreshed:
        """Mark the samples that are still there, and refresh."""
        if begin is not None:
            kept = max(begin, now - self._policy.raw.retention)
            if kept < end:
                await self._db.execute(_COMMON["mark"], *_whole_minutes(kept, end))
        return await self.refresh(now, progress)

    async def removals(self, now: datetime) -> list[Removal]:
        """Expired partitions, and rows that go before their partition does."""
        parts, tables = await self._parts(), _TABLES
        return await removals(
            self._db, self._policy, now, parts=parts, tables=tables, judge=self._removal
        )

    async def remove(self, removal: Removal) -> None:
        """Drop a partition, or delete rows a partition at a time."""
        if removal.action == "drop":
            await self._drop(_TABLES[_level(removal)][0], removal.part)
        elif removal.action == "thin out":
            await self._db.execute(
                f"DELETE FROM {removal.part} WHERE series_id <> ALL ($1)",  # noqa: S608 # a partition's name
                list(removal.series),
            )
            await self._sort(removal.part)
        elif not await remove_common(self._db, removal):
            await self._delete(removal)

    async def compact(self, now: datetime, progress: Progress) -> list[Compacted]:
        """Sort closed partitions by series: one series' day is then 90 pages instead of 8,700."""
        done = []
        for part in await self._parts():
            if part.compacted or part.end > now - self._policy.keeping(part.level).compress_after:
                continue
            progress(f"sorting {part.name}")
            try:
                await self._sort(part.name)
            except asyncpg.LockNotAvailableError:
                progress(f"{part.name} is in use: the next time")
                continue
            done.append(Compacted(part.name, part.bytes, await self._bytes(part.name)))
        return done

    async def status(self, now: datetime) -> Status:
        """Look at everything."""
        rows = await self._db.fetch(_SQL["parts"])
        parts = [_part(row) for row in rows]
        estimates = {row["name"]: row["rows"] for row in rows}
        common = await standing.common(self._db)
        levels = [
            standing.level_status(
                level,
                [p for p in parts if p.level == level],
                sum(estimates[p.name] for p in parts if p.level == level),
                common,
                now,
            )
            for level in _LEVELS
        ]
        return common.status("postgresql", levels, parts, self._policy, policies=[], now=now)

    async def _removal(self, part: Part, kept: tuple[int, ...]) -> Removal | None:
        keeping = self._policy.keeping(part.level)
        reason = f"{part.level} is kept {keeping.retention.days} days"
        whole = Removal(
            "drop", part.level, part.name, part.begin, part.end, None, part.bytes, reason
        )
        if not kept:
            return whole
        row = (
            await self._db.fetch(
                f"SELECT EXISTS (SELECT FROM {part.name} WHERE series_id = ANY ($1)) AS wanted, "  # noqa: S608 # a partition's name
                f"(SELECT count(*) FROM {part.name} WHERE series_id <> ALL ($1)) AS others",
                list(kept),
            )
        )[0]
        if not row["wanted"]:
            return whole
        if not row["others"]:
            return None
        return Removal(
            "thin out", part.level, part.name, part.begin, part.end, row["others"], part.bytes,
            f"{reason}, but some metrics are defined to be kept longer", kept,
        )  # fmt: skip

    async def _drop(self, parent: str, part: str) -> None:
        async with self._db.session() as connection:
            await connection.execute(_SQL["one_dropper"])
            await self._finish_drops(connection)
            if await connection.fetchval(_SQL["attached"], part):
                # Whoever finds the rest of a drop that was cut off must know it from an archived day.
                await connection.execute(f"COMMENT ON TABLE {part} IS '{_GOING}'")
                # In a transaction it would wait for, and then hold up, everybody who uses the table.
                await connection.execute(
                    f"ALTER TABLE {parent} DETACH PARTITION {part} CONCURRENTLY", timeout=HOUR
                )
                await connection.execute(f"DROP TABLE {part}")

    async def _finish_drops(self, connection: Connection) -> None:
        """Complete what was cut off between detaching and dropping."""
        for row in await connection.fetch(_SQL["detaching"]):
            await connection.execute(
                f"ALTER TABLE {row['parent']} DETACH PARTITION {row['name']} FINALIZE", timeout=HOUR
            )
        for row in await connection.fetch(_SQL["detached"]):
            await connection.execute(f"DROP TABLE {row['name']}")

    async def _delete(self, removal: Removal) -> None:
        table, time = _TABLES[_level(removal)]
        begin = removal.begin or removal.end
        while begin < removal.end:
            end = min(begin + timedelta(days=1), removal.end)
            if removal.level == "sketch":
                await definitions.delete_sketches(self._db, removal, begin, end)
            else:
                await self._db.execute(
                    f"DELETE FROM {table} WHERE series_id = ANY ($1) AND {time} >= $2 AND {time} < $3",  # noqa: S608 # our own names
                    list(removal.series),
                    begin,
                    end,
                )
            begin = end

    async def _sort(self, part: str) -> None:
        index = await self._db.value(_SQL["index_of"], part)
        async with self._db.pool.acquire() as connection:
            # Queued behind a reader it would keep the next ones waiting.
            await connection.execute("SET lock_timeout = '2s'")
            await connection.execute("SET client_connection_check_interval = '2s'")
            await connection.execute("SET maintenance_work_mem = '256MB'")
            await connection.execute(f"CLUSTER {part} USING {index}", timeout=HOUR)
            await connection.execute(f"ANALYZE {part}", timeout=HOUR)

    async def _parts(self) -> list[Part]:
        return [_part(row) for row in await self._db.fetch(_SQL["parts"])]

    async def _bytes(self, part: str) -> int:
        return int(
            str(await self._db.value("SELECT pg_total_relation_size($1::text::regclass)", part))
        )


def _part(row: asyncpg.Record) -> Part:
    return Part(**{name: row[name] for name in Part.__dataclass_fields__})


def _level(removal: Removal) -> Level:
    return cast("Level", removal.level)


def _whole_minutes(begin: datetime, end: datetime) -> tuple[datetime, datetime]:
    minute = timedelta(minutes=1)
    return floor(begin, minute), floor(end + minute - timedelta(microseconds=1), minute)
