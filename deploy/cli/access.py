"""What commands that ask as a tenant share: the database as the API sees it, and errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from deploy.cli.context import default_key, resolve
from deploy.keys import find_key
from query.database import Reading, TenantDatabase, TooSlow
from schemas.errors import Invalid, Permanent, Temporary
from schemas.keys import Refused, Scope
from schemas.settings import Settings
from sinks.database import connect_pool

_T = TypeVar("_T")
_PATIENCE = 60.0
"""Seconds that a statement may take: nobody else waits behind a command."""

ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_API_KEY",
        help="Whose they are. Without it, the local stack's own tenant.",
        show_envvar=True,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True)
class Access:
    """What a tenant has."""

    database: TenantDatabase
    tenant: UUID


@asynccontextmanager
async def access(settings: Settings, api_key: str | None, scope: Scope) -> AsyncIterator[Access]:
    """What the key's tenant has. Raises Permanent without a good key of this scope."""
    endpoints = resolve(settings, "database")
    key = api_key or await default_key(settings, endpoints)
    dsn = endpoints.database
    async with (
        await connect_pool(dsn, role="headrace_reader", application="cli", max_size=2) as pool,
        await connect_pool(dsn, role="headrace_editor", application="cli", max_size=1) as editors,
    ):
        credential = await find_key(pool, key)
        if credential is None:
            raise Permanent(
                "The API key is unknown, expired or revoked. Make one: headrace tenants keys create"
            )
        try:
            tenant = credential.tenant_for(scope)
        except Refused as error:
            raise Permanent(str(error)) from error
        yield Access(TenantDatabase(pool, _PATIENCE, editors), tenant)


def reading(api_key: str | None, read: Callable[[Reading], Awaitable[_T]]) -> _T:
    """What `read` finds in one transaction of the key's tenant. Raises as `asked` does."""
    return _within(api_key, "read", lambda found: found.database.reading(found.tenant), read)


def writing(api_key: str | None, write: Callable[[Reading], Awaitable[_T]]) -> _T:
    """The same where something is changed: it needs a key of scope admin."""
    return _within(api_key, "admin", lambda found: found.database.writing(found.tenant), write)


def _within(
    api_key: str | None,
    scope: Scope,
    begin: Callable[[Access], AbstractAsyncContextManager[Reading]],
    work: Callable[[Reading], Awaitable[_T]],
) -> _T:
    async def run() -> _T:
        async with access(Settings(), api_key, scope) as found, begin(found) as one:
            return await work(one)

    with asked():
        return asyncio.run(run())


@contextmanager
def asked() -> Iterator[None]:
    """Make of a thing that is not there a wrong question, and of a slow database one that is away."""
    try:
        yield
    except Invalid as error:
        raise Permanent(str(error)) from error
    except TooSlow as error:
        raise Temporary("The database took too long.") from error
