"""The tenants that may send, as ingest knows them."""

from collections.abc import Callable
from uuid import UUID

import asyncpg

from schemas.named_queries import load

_SQL = load("sinks.sql", "ingest.sql")


class KnownTenants:
    """Spelling of a tenant id in a record → its UUID, for tenants that exist.

    An unknown id asks the database again, but at most once in `patience` seconds: a producer with a
    wrong id must not turn every record into a query.
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
        self._asked = float("-inf")
        self._ids: frozenset[UUID] = frozenset()
        self.spellings: dict[str, UUID] = {}

    def find(self, spelling: str) -> UUID | None:
        """The tenant, from memory."""
        found = self.spellings.get(spelling)
        if found is None:
            try:
                found = UUID(spelling)
            except ValueError:
                return None
            if found not in self._ids:
                return None
            self.spellings[spelling] = found
        return found

    async def refresh(self) -> bool:
        """Read the tenants again unless that was just done; tell whether it was done now."""
        if self._clock() - self._asked < self._patience:
            return False
        self._ids = frozenset(row[0] for row in await self._pool.fetch(_SQL["all_tenants"]))
        self.spellings = {}
        self._asked = self._clock()
        return True
