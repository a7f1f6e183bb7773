"""Database sessions of a login that is a member of one role: nothing to go back to with SET ROLE NONE."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import sqlalchemy as sa

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def session_as(dsn: str, role: str) -> AsyncIterator[Connection]:
    """A session that assumes `role`, of a login made for it. `dsn` is a superuser's."""
    name, password = f"headrace_test_{secrets.token_hex(6)}", secrets.token_hex(12)
    admin: Connection = await asyncpg.connect(dsn)
    try:
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {role}")
        try:
            url = sa.make_url(dsn).set(username=name, password=password)
            session: Connection = await asyncpg.connect(
                url.render_as_string(hide_password=False), server_settings={"role": role}
            )
            try:
                yield session
            finally:
                await session.close()
        finally:
            await admin.execute(f"DROP ROLE {name}")
    finally:
        await admin.close()


async def become(session: Connection, tenant: object) -> None:
    """See the tenant's rows for the rest of the session; None: nobody's."""
    await session.execute(
        "SELECT set_config('app.tenant_id', $1, false)", "" if tenant is None else str(tenant)
    )
