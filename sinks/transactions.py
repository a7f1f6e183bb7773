"""Transactions through a pool, whose outages are told from mistakes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from schemas.named_queries import load
from sinks.copy import Connection
from sinks.outages import OUTAGE, classify

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

HOUR = 3600.0
"""Seconds for statements that read every point of a run; the pool's own limit suits short ones."""

_SQL = load("sinks.sql", "runs.sql")


class Transactions:
    """What stores over a pool are made of."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction. Raises Temporary or Permanent for what is not the statement's fault."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except OUTAGE as error:
            raise classify(error) from error

    @asynccontextmanager
    async def long_transaction(self) -> AsyncIterator[Connection]:
        """One whose statement the server stops soon after its client has died."""
        # A killed worker's statement would go on for minutes, holding the run that a retry waits for.
        async with self.transaction() as connection:
            await connection.execute(_SQL["watch_client"])
            yield connection
