"""Counts the rows that the database reads for an answer, and compares the answer with the raw samples."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from httpx import ASGITransport, AsyncClient
from prometheus_client import CollectorRegistry

from deploy.bench.query_load import Pool
from deploy.bench.query_mix import Panel, Question
from query.api import create_api
from query.database import QUERIES, Database, Plan, Reading, Rows, TenantDatabase, transaction
from query.routing import Retention
from query.settled import Memory
from schemas.errors import Temporary
from schemas.named_queries import load
from sinks.keys import DatabaseKeyring

_SQL = load(__package__, "query_raw.sql")
_SKETCH_ERROR = 0.01 + 1e-9
"""What a sketch may be off, and what is lost in powers and logarithms."""

Statement = tuple[str, tuple[object, ...]]
"""SQL and its arguments."""


@dataclass(frozen=True)
class Watched:
    """A `Database` that keeps the names and arguments of the queries it is asked for."""

    database: Database
    seen: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    @asynccontextmanager
    async def reading(self, tenant_id: UUID, plan: Plan = "custom") -> AsyncIterator[Reading]:
        """See Database."""
        async with self.database.reading(tenant_id, plan) as reading:
            yield _WatchedReading(reading, self.seen)

    def writing(self, tenant_id: UUID) -> AbstractAsyncContextManager[Reading]:
        """See Database."""
        return self.database.writing(tenant_id)

    async def check(self) -> None:
        """See Database."""
        await self.database.check()


@dataclass(frozen=True)
class _WatchedReading:
    reading: Reading
    seen: list[tuple[str, tuple[Any, ...]]]

    async def rows(self, query: str, *arguments: object) -> Rows:
        self.seen.append((query, arguments))
        return await self.reading.rows(query, *arguments)


class Witness:
    """Puts panels to the API and to the raw samples, and has the database count what it reads."""

    def __init__(self, pool: Pool, tenant: UUID, key: str, raw_retention: timedelta) -> None:
        """`pool` has sessions of headrace_reader; `key` may read for the tenant."""
        self._pool = pool
        self._tenant = tenant
        self._memory = Memory()
        self._watched = Watched(TenantDatabase(pool))
        app = create_api(
            DatabaseKeyring(pool),
            self._watched,
            registry=CollectorRegistry(),
            retention=Retention(raw=raw_retention),
            memory=self._memory,
        )
        self._http = AsyncClient(
            transport=ASGITransport(app), base_url="http://bench/api/v1", headers={"X-API-Key": key}
        )

    async def rows_read(self, panel: Panel, end: datetime) -> int:
        """Rows that the statements of a panel's request read from tables, filtered out or not.

        What a function reads inside itself, the database does not tell: here versions of hours, and the
        newest sample of each series.
        """
        self._watched.seen.clear()
        self._memory.forget()
        await self._answer(panel, end)
        return await self._count(*((QUERIES[name], asked) for name, asked in self._watched.seen))

    async def rows_read_raw(self, panel: Panel, end: datetime) -> int | None:
        """As rows_read, for the same answer from raw samples; None for a panel that shows none."""
        if panel.question is None:
            return None
        return await self._count(await self._raw(panel.question, end))

    async def differences(self, panel: Panel, end: datetime) -> list[str]:
        """Points that are not what the raw samples give, in words, at a first look and at a second.

        Means must be the same to the last bit; a percentile may be off as much as a sketch is.
        """
        if panel.question is None:
            return []
        sql, arguments = await self._raw(panel.question, end)
        async with self._session() as connection:
            rows = await connection.fetch(sql, *arguments, timeout=3600)
        raw = {(row["bucket"], row["grp"]): (row["lowest"], row["highest"]) for row in rows}
        self._memory.forget()
        looks = [_shown(await self._answer(panel, end), panel.question.by) for _ in range(2)]
        error = 0.0 if panel.question.percentile is None else _SKETCH_ERROR
        found = (
            f"{panel.name}, {at:%Y-%m-%d %H:%M} {group or ''}: {value}, of raw samples {limits}"
            for shown in looks
            for (at, group) in sorted(raw.keys() | shown.keys(), key=str)
            if not _within(value := shown.get((at, group)), limits := raw.get((at, group)), error)
        )
        return list(dict.fromkeys(found))

    async def _answer(self, panel: Panel, end: datetime) -> Any:
        answer = await self._http.get(panel.path, params=panel.query(end))
        if not answer.is_success:
            raise Temporary(f"{panel.name}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    async def _raw(self, question: Question, end: datetime) -> Statement:
        async with self._session() as connection:
            found = await connection.fetch(
                _SQL["find_series"], question.metric, json.dumps(question.labels)
            )
        asked = ([row["series_id"] for row in found], *question.range(end), question.bucket)
        if question.percentile is None:
            return _SQL["mean"], (*asked, question.by)
        return _SQL["percentile"], (*asked, question.by, question.percentile)

    async def _count(self, *statements: Statement) -> int:
        total = 0.0
        async with self._session() as connection:
            for sql, arguments in statements:
                plan = await connection.fetchval(
                    f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", *arguments, timeout=3600
                )
                total += sum(_scanned(json.loads(plan)[0]["Plan"]))
        return round(total)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        """A transaction as the API begins it, without its limit of time."""
        async with (
            self._pool.acquire() as connection,
            transaction(connection, self._tenant, 0, "READ ONLY"),
        ):
            yield connection


def _scanned(node: dict[str, Any]) -> Iterator[float]:
    """Rows that each scan of a table took out of it."""
    columnar = node.get("Custom Plan Provider") in {"ColumnarScan", "DecompressChunk"}
    if columnar or ("Relation Name" in node and node["Node Type"] != "Custom Scan"):
        removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
        rows = node["Actual Rows"] + sum(node.get(name, 0) for name in removed)
        yield rows * node["Actual Loops"]
    # What is below a columnar scan are its batches of a thousand, not rows.
    for child in () if columnar else node.get("Plans", ()):
        yield from _scanned(child)


def _shown(answer: Any, by: str | None) -> dict[tuple[datetime, str | None], float]:
    """Values of an answer of /metrics/series, by bucket and by the label's value."""
    groups = answer["groups"] if by is not None else [answer]
    return {
        (datetime.fromisoformat(point["timestamp"]), by and group["labels"][by]): point["value"]
        for group in groups
        for point in group["points"]
    }


def _within(value: float | None, limits: tuple[float, float] | None, error: float) -> bool:
    if value is None or limits is None:
        return False
    return limits[0] * (1 - error) <= value <= limits[1] * (1 + error)
