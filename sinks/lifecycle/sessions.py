"""Sessions for maintenance: their errors classified, their statements ended with the client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from sinks.outages import OUTAGE, classify

HOUR = 3600.0
"""Seconds that one statement may take: sorting a day of a hundred million samples."""


class Sessions:
    """A pool in the role headrace_owner, for statements that may take long."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    @asynccontextmanager
    async def session(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        """A session without a transaction. Raises Temporary or Permanent for what asyncpg raises."""
        try:
            async with self.pool.acquire() as connection:
                # What a killed worker has begun would else go on, in the way of its successor.
                await connection.execute("SET client_connection_check_interval = '2s'")
                yield connection
        except OUTAGE as error:
            raise classify(error) from error

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        """A transaction in such a session."""
        async with self.session() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *parameters: object) -> list[asyncpg.Record]:
        """All rows of a query."""
        async with self.session() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(query, *parameters, timeout=HOUR)
        return rows

    async def value(self, query: str, *parameters: object) -> object:
        """The first value of the first row, or None."""
        rows = await self.fetch(query, *parameters)
        return rows[0][0] if rows else None

    async def execute(self, statement: str, *parameters: object) -> None:
        """One statement; without parameters it may be one that no transaction allows."""
        async with self.session() as connection:
            await connection.execute(statement, *parameters, timeout=HOUR)
