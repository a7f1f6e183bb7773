"""What commands that read results share: the database as the API sees it, as one tenant, and errors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, `latest` (the newest finished one), or a baseline's name.",
        show_default=False,
    ),
]
Test = Annotated[
    str | None,
    typer.Option(help="The test that `latest` or the baseline's name is of. [any]"),
]


@dataclass(frozen=True)
class Results:
    """A tenant's runs."""

    database: TenantDatabase
    tenant: UUID


@asynccontextmanager
async def results(settings: Settings, api_key: str | None, scope: Scope) -> AsyncIterator[Results]:
    """The runs of the key's tenant. Raises Permanent without a good key of this scope."""
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
        yield Results(TenantDatabase(pool, _PATIENCE, editors), tenant)


async def reading(
    settings: Settings, api_key: str | None, read: Callable[[Reading], Awaitable[_T]]
) -> _T:
    """What `read` finds in one transaction of the key's tenant."""
    async with (
        results(settings, api_key, "read") as found,
        found.database.reading(found.tenant) as one,
    ):
        return await read(one)


@contextmanager
def asked() -> Iterator[None]:
    """Make of a run that is not there a wrong question, and of a slow database one that is away."""
    try:
        yield
    except Invalid as error:
        raise Permanent(str(error)) from error
    except TooSlow as error:
        raise Temporary("The database took too long.") from error
