"""The lifecycle on TimescaleDB: its background jobs do most; here is what they can't, and the same at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import asyncpg

from schemas.lifecycle import WIDTHS, Level, LifecyclePolicy, RollupLevel, floor
from schemas.named_queries import load
from sinks.lifecycle import definitions, standing
from sinks.lifecycle.policies import apply_policies, policy_status
from sinks.lifecycle.ports import Compacted, LevelStatus, Part, Progress, Refreshed, Removal, Status
from sinks.lifecycle.removals import removals, remove_common
from sinks.lifecycle.sessions import HOUR, Sessions
from sinks.lifecycle.steps import refresh_level

_SQL = load("sinks.sql", "lifecycle_timescaledb.sql")
_COMMON = load("sinks.sql", "lifecycle.sql")
_ROLLUPS: tuple[RollupLevel, ...] = ("1m", "5m", "1h")
_LEVELS: tuple[Level, ...] = ("raw", *_ROLLUPS)
_DAY = timedelta(days=1)
_PLAIN_BYTES = {"raw": 52, "1m": 84, "5m": 84, "1h": 84}
"""Of a row before compression, without indexes, as measured: what comes in compressed has no other figure."""
_PASSES = 3
"""Merging what came late leaves a chunk unordered, which the next pass puts right."""


class TimescaleLifecycle:
    """Over chunks, continuous aggregates and jobs."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", policy: LifecyclePolicy) -> None:
        self._db = Sessions(pool)
        self._policy = policy

    async def ensure(self, now: datetime, progress: Progress) -> int:  # noqa: ARG002 # jobs have no date
        """Make the jobs follow the settings and the longest retention of a definition."""
        days = await self._db.value(_COMMON["longest_retention"])
        longest = timedelta(days=int(str(days))) if days is not None else timedelta()
        return await apply_policies(self._db, self._policy, longest, progress)

    async def refresh(self, now: datetime, progress: Progress) -> Refreshed:
        """Take the marks, and store the sketches of what they name."""
        done = await refresh_level(self._db, "1m", self._policy.closed("1m", now), progress)
        return done + await refresh_level(self._db, "sketch", self._policy.sketched(now), progress)

    async def catch_up(self, now: datetime, progress: Progress) -> None:
        """Refresh between the retention of raw samples and the windows of the jobs. Cheap when nothing came."""
        for level in _ROLLUPS:
            await self._refresh_invalid(level, now - self._policy.window(level), now, progress)

    async def refresh_range(
        self, begin: datetime | None, end: datetime, now: datetime, progress: Progress
    ) -> Refreshed:
        """Refresh the aggregates, finer ones first, a day at a time; with `begin` even what is valid."""
        for level in _ROLLUPS:
            last = min(end, self._policy.closed(level, now))
            if begin is None:
                await self._refresh_invalid(level, last, now, progress)
            else:
                first = max(begin, now - self._policy.refreshable(level))
                for one, other in _days(*_whole(first, last, WIDTHS[level])):
                    progress(f"{level}: {one:%Y-%m-%d %H:%M} to {other:%m-%d %H:%M}")
                    await self._call(level, one, other, "true")
        if begin is not None:
            kept = floor(max(begin, now - self._policy.raw.retention), WIDTHS["1m"])
            if kept < end:
                await self._db.execute(_COMMON["mark"], kept, end)
        return await self.refresh(now, progress)

    async def removals(self, now: datetime) -> list[Removal]:
        """Expired chunks, and rows that go before their chunk does."""
        parts, tables = await self._parts(), await self._tables()
        return await removals(
            self._db, self._policy, now, parts=parts, tables=tables, judge=self._removal
        )

    async def remove(self, removal: Removal) -> None:
        """Drop a chunk, write the rest of it anew, or delete rows a day at a time."""
        if removal.action == "delete":
            await self._delete(removal)
            return
        relation = "samples" if removal.level == "raw" else f"samples_{removal.level}"
        async with self._db.transaction() as connection:
            if removal.action == "thin out":
                await connection.execute(
                    _SQL["set_aside"],
                    removal.begin,
                    removal.end,
                    list(removal.series),
                    timeout=HOUR,
                )
            await connection.execute(
                _SQL["drop"], relation, removal.begin, removal.end, timeout=HOUR
            )
            if removal.action == "thin out":
                await connection.execute(_SQL["put_back"], timeout=HOUR)

    async def compact(self, now: datetime, progress: Progress) -> list[Compacted]:
        """Compress what is old enough, also what came in compressed but not in order."""
        done = []
        for part in await self._parts():
            if part.compacted or part.end > now - self._policy.keeping(part.level).compress_after:
                continue
            progress(f"compressing {part.name}")
            for _ in range(_PASSES):
                await self._db.execute(_SQL["compress"], part.name)
                if await self._db.value(_SQL["chunk"], part.name) == ["COMPRESSED"]:
                    break
            after = next((p for p in await self._parts() if p.name == part.name), part)
            done.append(Compacted(part.name, part.bytes, after.bytes))
        return done

    async def status(self, now: datetime) -> Status:
        """Look at everything."""
        parts = await self._parts()
        common = await standing.common(self._db)
        marks = {row["level"]: row["until"] for row in await self._db.fetch(_SQL["aggregates"])}
        policies = await policy_status(self._db)
        runs = {policy.name: policy.last_run for policy in policies}
        levels = [
            await self._level_status(
                level,
                [part for part in parts if part.level == level],
                marks.get(level),
                runs.get(f"refresh of samples_{level}"),
                now,
            )
            for level in _LEVELS
        ]
        return common.status("timescaledb", levels, parts, self._policy, policies=policies, now=now)

    async def _refresh_invalid(
        self, level: RollupLevel, end: datetime, now: datetime, progress: Progress
    ) -> None:
        """Refresh what changed before `end` in the time that raw samples are kept."""
        begin = now - min(self._policy.refreshable("1m"), self._policy.refreshable(level))
        first, last = _whole(begin, end, WIDTHS[level])
        if first < last:
            progress(f"{level}: what changed since {first:%Y-%m-%d}")
            await self._call(level, first, last, "false")

    async def _call(self, level: RollupLevel, begin: datetime, end: datetime, force: str) -> None:
        await self._db.execute(
            f"CALL refresh_continuous_aggregate('samples_{level}', '{begin.isoformat()}', "
            f"'{end.isoformat()}', force => {force})"
        )

    async def _removal(self, part: Part, kept: tuple[int, ...]) -> Removal | None:
        reason = f"{part.level} is kept {self._policy.keeping(part.level).retention.days} days"
        whole = Removal(
            "drop", part.level, part.name, part.begin, part.end, None, part.bytes, reason
        )
        if not kept:
            return whole
        row = (await self._db.fetch(_SQL["of_others"], part.begin, part.end, list(kept)))[0]
        if not row["wanted"]:
            return whole
        if not row["others"]:
            return None
        return Removal(
            "thin out", part.level, part.name, part.begin, part.end, row["others"], part.bytes,
            f"{reason}, but some metrics are defined to be kept longer", kept,
        )  # fmt: skip

    async def _delete(self, removal: Removal) -> None:
        if await remove_common(self._db, removal):
            return
        table, time = (await self._tables())[cast("Level", removal.level)]
        for first, last in _days(removal.begin or removal.end, removal.end):
            if removal.level == "sketch":
                await definitions.delete_sketches(self._db, removal, first, last)
                continue
            async with self._db.transaction() as connection:
                # A limit against accidents: what is touched of a compressed chunk is unpacked first.
                await connection.execute(
                    "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
                )
                await connection.execute(
                    f"DELETE FROM {table} WHERE series_id = ANY ($1) AND {time} >= $2 AND {time} < $3",  # noqa: S608 # our own names
                    list(removal.series),
                    first,
                    last,
                    timeout=HOUR,
                )

    async def _level_status(
        self,
        level: Level,
        parts: list[Part],
        until: datetime | None,
        refreshed_at: datetime | None,
        now: datetime,
    ) -> LevelStatus:
        packed = [r for r in await self._db.fetch(_SQL["compressed"]) if r["level"] == level]
        rows, size = 0, 0
        for one in packed:
            row = (
                await self._db.fetch(
                    f"SELECT coalesce(sum(_ts_meta_count), 0)::bigint AS rows, "  # noqa: S608 # a name out of the catalog
                    f"pg_total_relation_size('{one['stored']}') AS bytes FROM {one['stored']}"
                )
            )[0]
            rows, size = rows + row["rows"], size + row["bytes"]
        plain = await self._db.value(_SQL["plain_rows"], [part.name for part in parts])
        return LevelStatus(
            level,
            len(parts),
            sum(part.compacted for part in parts),
            sum(part.bytes for part in parts),
            rows + int(str(plain)),
            round(rows * _PLAIN_BYTES[level] / size, 1) if rows and size else None,
            min((part.begin for part in parts), default=None),
            max((part.end for part in parts), default=None),
            until,
            standing.lag(until, now),
            refreshed_at,
        )

    async def _tables(self) -> dict[Level, tuple[str, str]]:
        """Where the rows of each level are; those of an aggregate behind its view."""
        tables: dict[Level, tuple[str, str]] = {"raw": ("samples", "ts")}
        for row in await self._db.fetch(_SQL["aggregates"]):
            tables[row["level"]] = row["stored"], "bucket"
        return tables | {"sketch": ("sketch_1h", "bucket")}

    async def _parts(self) -> list[Part]:
        return [
            Part(
                r["level"],
                r["name"],
                r["begin"],
                r["end"],
                r["bytes"],
                r["state"] == ["COMPRESSED"],
            )
            for r in await self._db.fetch(_SQL["parts"])
        ]


def _whole(begin: datetime, end: datetime, width: timedelta) -> tuple[datetime, datetime]:
    """The whole buckets within [begin, end)."""
    return floor(begin + width - timedelta(microseconds=1), width), floor(end, width)


def _days(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[begin, end) by the day in UTC."""
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    while begin < end:
        last = min(floor(begin, _DAY) + _DAY, end)
        yield begin, last
        begin = last
