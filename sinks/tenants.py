"""The tenants that may send, as ingest knows them."""

from collections.abc import Callable, Collection
from uuid import UUID

import asyncpg

from schemas.named_queries import load

_SQL = load("sinks.sql", "ingest.sql")


_REMEMBERED = 10_000
"""Spellings kept, good and bad apart; beyond that all are forgotten and asked for again."""


class KnownTenants:
    """Spelling of a tenant id in a record → its UUID, for tenants that exist.

    An unknown id asks the database, and again after `patience` seconds at the earliest: a producer with
    a wrong id must not turn every record into a query, nor make a new tenant wait.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        clock: Callable[[], float],
        patience: float = 2.0,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._patience = patience
        self._asked: dict[str, float] = {}
        self._ids: frozenset[UUID] = frozenset()
        self._spellings: dict[str, UUID] = {}

    def find(self, spelling: str) -> UUID | None:
        """The tenant, from memory."""
        found = self._spellings.get(spelling)
        if found is None:
            try:
                found = UUID(spelling)
            except ValueError:
                return None
            if found not in self._ids:
                return None
            if len(self._spellings) >= _REMEMBERED:
                self._spellings.clear()
            self._spellings[spelling] = found
        return found

    async def refresh(self, unknown: Collection[str] | None) -> bool:
        """Read the tenants again when one of these was not asked for lately; None: in any case."""
        now = self._clock()
        if unknown is not None:
            due = [s for s in unknown if now - self._asked.get(s, float("-inf")) >= self._patience]
            if not due:
                return False
            if len(self._asked) >= _REMEMBERED:
                self._asked.clear()
            self._asked.update(dict.fromkeys(due, now))
        self._ids = frozenset(row[0] for row in await self._pool.fetch(_SQL["all_tenants"]))
        self._spellings.clear()
        return True
