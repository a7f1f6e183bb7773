"""Reads from the database: one read-only transaction a request, which sees one tenant.

The pool is handed in; its sessions have the role headrace_reader, which may read the tenant views
and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import asyncpg

from schemas.errors import HeadraceError, Invalid, Temporary
from schemas.named_queries import load

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Rows = Sequence[Any]
"""Rows of a query, each a mapping of its columns."""

QUERIES = {
    name: text
    for file in ("metrics.sql", "runs.sql", "health.sql")
    for name, text in load("query.sql", file).items()
}

# set_config(…, true) ends with the transaction: a pooled connection never carries a tenant along.
# Plans are made for the values at hand: a generic one can't tell a minute from a month.
_BEGIN = """
SELECT set_config('app.tenant_id', $1, true),
       set_config('statement_timeout', $2, true),
       set_config('plan_cache_mode', 'force_custom_plan', true)
"""
_PATIENCE = 5.0
_NOT_MIGRATED = "The database is not migrated. Run: headrace migrate"


class TooSlow(HeadraceError):
    """The answer took longer than a statement may. Ask for less, or for coarser buckets."""


class Reading(Protocol):
    """A read-only transaction that sees the rows of one tenant."""

    async def rows(self, query: str, *arguments: object) -> Rows:
        """Rows of a named query.

        Raises:
            Temporary: the database is away, not migrated, or busy.
            TooSlow: the statement ran into its time limit.
            Invalid: the database refuses an argument.
        """
        ...


class Database(Protocol):
    """Where the rows of tenants are read."""

    def reading(self, tenant_id: UUID) -> AbstractAsyncContextManager[Reading]:
        """Open a transaction that sees this tenant and no other. Raises as `Reading.rows`."""
        ...

    async def check(self) -> None:
        """Return when queries can be answered. Raises Temporary when they can't be."""
        ...


@dataclass(frozen=True)
class TenantDatabase:
    """The `Database` of PostgreSQL or TimescaleDB.

    `pool` may be one without a connection yet: the database may be away at the start.
    `statement_timeout` is in seconds; a request waits at most 5 more for a connection and the network.
    """

    pool: Pool
    statement_timeout: float = 10.0

    @asynccontextmanager
    async def reading(self, tenant_id: UUID) -> AsyncIterator[Reading]:
        """Open a transaction that sees this tenant and no other."""
        milliseconds = str(round(self.statement_timeout * 1000))
        with _spoken():
            async with asyncio.timeout(self.statement_timeout + _PATIENCE):
                async with self.pool.acquire() as connection, connection.transaction(readonly=True):
                    await connection.execute(_BEGIN, str(tenant_id), milliseconds)
                    yield _Transaction(connection)

    async def check(self) -> None:
        """Return when the database is reachable and migrated."""
        with _spoken():
            async with asyncio.timeout(_PATIENCE):
                if not await self.pool.fetch(QUERIES["ready"]):
                    raise Temporary(_NOT_MIGRATED)


@dataclass(frozen=True)
class _Transaction:
    connection: Connection

    async def rows(self, query: str, *arguments: object) -> Rows:
        """Rows of a named query."""
        try:
            rows: Rows = await self.connection.fetch(QUERIES[query], *arguments)
        except asyncpg.QueryCanceledError as error:
            raise TooSlow("It took too long: ask for a shorter time or fewer series.") from error
        except asyncpg.DataError as error:
            raise Invalid("bad_argument", f"The database can't use this: {error}") from error
        return rows


@contextmanager
def _spoken() -> Iterator[None]:
    """Raise what the database raises as Temporary; the cause is for the log, not for the caller."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
        raise Temporary(_NOT_MIGRATED) from error
    except asyncpg.SyntaxOrAccessError:
        raise  # a bug or a missing grant: it does not pass by itself
    except TimeoutError as error:
        raise Temporary("The database is too busy to answer in time.") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Temporary("The database can't be read now.") from error
