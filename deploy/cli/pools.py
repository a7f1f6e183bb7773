"""What commands share that work on the database: a pool, the key's tenant, and what to do in an outage."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from deploy.cli.context import resolve, tenant
from schemas.settings import Settings
from sinks.database import Role, connect_pool
from sinks.outages import OUTAGE, classify
from sinks.transactions import Pool

_T = TypeVar("_T")


def with_pool(act: Callable[[Pool], Awaitable[_T]], *, role: Role | None, application: str) -> _T:
    """What `act` makes of the database that is set. Raises Temporary or Permanent for an outage."""
    return asyncio.run(_act(act, role, application))


def with_tenant(
    api_key: str | None,
    act: Callable[[Pool, UUID], Awaitable[_T]],
    *,
    role: Role,
    application: str,
) -> _T:
    """The same for the tenant of an API key; without one, for the local stack's own."""

    async def within() -> _T:
        settings = Settings()
        whose = await tenant(settings, resolve(settings, "database"), api_key)
        return await _act(lambda pool: act(pool, whose), role, application)

    return asyncio.run(within())


async def _act(act: Callable[[Pool], Awaitable[_T]], role: Role | None, application: str) -> _T:
    dsn = resolve(Settings(), "database").database
    try:
        async with await connect_pool(dsn, role=role, application=application) as pool:
            return await act(pool)
    except OUTAGE as error:
        raise classify(error) from error
