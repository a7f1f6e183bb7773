"""The database: one transaction a request, which sees one tenant.

Pools are handed in. Sessions of the one have the role headrace_reader, which may read the tenant views
and nothing else; those of the other headrace_editor, for the few things that a tenant may change.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

import asyncpg

from query.shares import Shares
from schemas.errors import HeadraceError, Invalid, Temporary
from schemas.named_queries import load

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Rows = Sequence[Any]
"""Rows of a query, each a mapping of its columns."""

_LEVELS = ("1m", "5m", "1h")

QUERIES = {
    name.replace("LEVEL", level): text.replace("LEVEL", level)
    for file in (
        "metrics.sql",
        "points.sql",
        "buckets.sql",
        "catalog.sql",
        "definitions.sql",
        "keys.sql",
        "runs.sql",
        "k6.sql",
        "comparison.sql",
        "baselines.sql",
        "rules.sql",
        "remediations.sql",
        "results.sql",
        "alerts.sql",
        "health.sql",
    )
    for name, text in load("query.sql", file).items()
    for level in (_LEVELS if "LEVEL" in name else ("",))
}

# set_config(…, true) ends with the transaction: a pooled connection never carries a tenant along.
# Plans are made for the values at hand: a generic one can't tell a minute from a month (for the exception
# see Plan). Compiling them and starting workers costs more than a dashboard's query takes, and workers are
# other requests' cores.
# What dashboards read is in memory: at a disk's prices the planner takes all series of the last day, in
# the order of time, rather than look for ten of them.
_BEGIN = """
BEGIN {access};
SELECT set_config('app.tenant_id', '{tenant}', true),
       set_config('statement_timeout', '{milliseconds}', true),
       set_config('plan_cache_mode', 'force_{plan}_plan', true),
       set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true),
       set_config('seq_page_cost', '0.2', true),
       set_config('random_page_cost', '0.3', true)
"""
Plan: TypeAlias = Literal["custom", "generic"]
"""Whether a transaction's statements are planned for their values, or once for all values.

Once: for requests that begin with `subject`, of whose cost planning is two thirds. It says what the rest is
planned for; where that is all values too, `plan_for_values` changes it before a statement that reads a lot.
"""
_PATIENCE = 5.0
_NOT_MIGRATED = "The database is not migrated. Run: headrace migrate"
_UNMIGRATED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidParameterValueError,  # no such role in the whole server
)


class TooSlow(HeadraceError):
    """The answer took longer than a statement may. Ask for less, or for coarser buckets."""


class Taken(HeadraceError):
    """A row of this key is there already."""


class Reading(Protocol):
    """A transaction that sees the rows of one tenant."""

    async def rows(self, query: str, *arguments: object) -> Rows:
        """Rows of a named query.

        Raises:
            Temporary: the database is away, not migrated, or busy.
            TooSlow: the statement ran into its time limit.
            Invalid: the database refuses an argument.
            Taken: a row of this key is there already.
        """
        ...


class Database(Protocol):
    """Where the rows of tenants are read."""

    def reading(
        self, tenant_id: UUID, plan: Plan = "custom"
    ) -> AbstractAsyncContextManager[Reading]:
        """Open a read-only transaction that sees this tenant and no other. Raises as `Reading.rows`."""
        ...

    def writing(self, tenant_id: UUID) -> AbstractAsyncContextManager[Reading]:
        """Open one that may also change what is this tenant's; it commits at the end of the block."""
        ...

    async def check(self) -> None:
        """Return when queries can be answered. Raises Temporary when they can't be."""
        ...


@dataclass(frozen=True)
class TenantDatabase:
    """The `Database` of PostgreSQL or TimescaleDB.

    `pool` and `editors` may be without a connection yet: the database may be away at the start. Without
    `editors` nothing can be changed. `statement_timeout` is in seconds, and of changes `change_timeout`;
    a request waits at most 5 more for a connection and the network. `shares` and `editing` say how many
    connections of each one tenant may hold: fewer than there are.
    """

    pool: Pool
    statement_timeout: float = 10.0
    editors: "Pool | None" = None
    change_timeout: float = 50.0
    shares: Shares = field(default_factory=lambda: Shares(8))
    editing: Shares = field(default_factory=lambda: Shares(1))

    @asynccontextmanager
    async def reading(self, tenant_id: UUID, plan: Plan = "custom") -> AsyncIterator[Reading]:
        """Open a read-only transaction that sees this tenant and no other."""
        with _spoken():
            async with (
                _connection(self.pool, self.shares, tenant_id, self.statement_timeout) as one,
                transaction(one, tenant_id, self.statement_timeout, "READ ONLY", plan),
            ):
                yield _Transaction(one)

    @asynccontextmanager
    async def writing(self, tenant_id: UUID) -> AsyncIterator[Reading]:
        """Open a transaction that may change what is this tenant's."""
        if self.editors is None:
            raise Temporary("This API was started for reading only: ask another.")
        with _spoken():
            async with (
                _connection(self.editors, self.editing, tenant_id, self.change_timeout) as one,
                transaction(one, tenant_id, self.change_timeout, "READ WRITE"),
            ):
                yield _Transaction(one)

    async def check(self) -> None:
        """Return when the database is reachable and migrated."""
        with _spoken():
            async with asyncio.timeout(_PATIENCE):
                if not await self.pool.fetch(QUERIES["ready"]):
                    raise Temporary(_NOT_MIGRATED)


@asynccontextmanager
async def transaction(
    connection: Connection,
    tenant_id: UUID,
    seconds: float,
    access: Literal["READ ONLY", "READ WRITE"],
    plan: Plan = "custom",
) -> AsyncIterator[None]:
    """A transaction that sees one tenant; each statement may take so many seconds, 0: any time.

    Begun in one message, which takes values as text only: a UUID and a number can be nothing else.
    """
    begin = _BEGIN.format(
        access=access,
        plan=plan,
        tenant=UUID(int=tenant_id.int),
        milliseconds=round(seconds * 1000),
    )
    try:
        await connection.execute(begin)
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


@asynccontextmanager
async def _connection(
    pool: Pool, shares: Shares, tenant_id: UUID, seconds: float
) -> AsyncIterator[Connection]:
    """A connection of the tenant's share, for so many seconds and the time that the network takes."""
    async with asyncio.timeout(seconds + _PATIENCE):
        async with shares.one(tenant_id), pool.acquire() as connection:
            yield connection


@dataclass(frozen=True)
class _Transaction:
    connection: Connection

    async def rows(self, query: str, *arguments: object) -> Rows:
        """Rows of a named query."""
        try:
            rows: Rows = await self.connection.fetch(QUERIES[query], *arguments)
        except asyncpg.QueryCanceledError as error:
            raise TooSlow("It took too long: ask for a shorter time or fewer series.") from error
        except asyncpg.UniqueViolationError as error:
            raise Taken("It is there already.") from error
        except asyncpg.DataError as error:
            raise Invalid("bad_argument", f"The database can't use this: {error}") from error
        return rows


@contextmanager
def _spoken() -> Iterator[None]:
    """Raise what the database raises as Temporary; the cause is for the log, not for the caller."""
    try:
        yield
    except _UNMIGRATED as error:
        raise Temporary(_NOT_MIGRATED) from error
    except asyncpg.SyntaxOrAccessError:
        raise  # a bug or a missing grant: it does not pass by itself
    except TimeoutError as error:
        raise Temporary("The database is too busy to answer in time.") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Temporary("The database can't be read now.") from error
