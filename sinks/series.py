"""The series dictionary: a bounded cache before the table that gives each series its number."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from schemas.named_queries import load
from schemas.series import Key, Series

_SQL = load("sinks.sql", "ingest.sql")


class TenantGone(Exception):
    """A tenant that owns a new series was deleted: read the tenants again."""


class SeriesDictionary:
    """Series numbers by tenant and spelling.

    Bounded by two generations: when the young one holds `limit` spellings it becomes the old one and
    what nobody asks for again is dropped with it. A hit costs one dict look-up; nothing is kept in order.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", limit: int = 100_000) -> None:
        self._pool = pool
        self._limit = limit
        self._size = 0
        self._young: dict[UUID, dict[Key, int]] = {}
        self._old: dict[UUID, dict[Key, int]] = {}

    def of(self, tenant: UUID) -> dict[Key, int]:
        """The young generation of a tenant: look up here first, it is the fast way."""
        found = self._young.get(tenant)
        if found is None:
            found = self._young[tenant] = {}
        return found

    def recall(self, tenant: UUID, key: Key) -> int | None:
        """Look in the old generation, and keep what is found there."""
        found = self._old.get(tenant, {}).get(key)
        if found is not None:
            self.remember(tenant, key, found)
        return found

    def remember(self, tenant: UUID, key: Key, series_id: int) -> None:
        """Cache a number that the database has committed."""
        if self._size >= self._limit:
            self._old, self._young, self._size = self._young, {}, 0
        self.of(tenant)[key] = series_id
        self._size += 1

    async def resolve(self, wanted: Sequence[Series]) -> list[int]:
        """Numbers of these series, made where they are new, in the same order.

        Committed before any row refers to them, so a batch that fails leaves at most unused series.
        Raises TenantGone, and what asyncpg raises.
        """
        async with self._pool.acquire() as connection:
            found = await self._find(connection, wanted)
            missing = [s for s in wanted if (s.tenant_id, s.fingerprint) not in found]
            if missing:
                try:
                    await connection.execute(
                        _SQL["add_series"],
                        [s.tenant_id for s in missing],
                        [s.name for s in missing],
                        [s.labels for s in missing],
                        [s.fingerprint for s in missing],
                    )
                except asyncpg.ForeignKeyViolationError as error:
                    raise TenantGone(str(error)) from error
                found |= await self._find(connection, missing)
        return [found[s.tenant_id, s.fingerprint] for s in wanted]

    @staticmethod
    async def _find(
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", wanted: Sequence[Series]
    ) -> dict[tuple[UUID, bytes], int]:
        rows = await connection.fetch(
            _SQL["find_series"],
            [s.tenant_id for s in wanted],
            [s.fingerprint for s in wanted],
        )
        return {(row["tenant_id"], row["fingerprint"]): row["series_id"] for row in rows}
