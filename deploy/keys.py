"""Asks the database for an API key, past every cache: by commands, and to see that it can be asked."""

import asyncio

import asyncpg

from schemas.errors import Permanent
from schemas.keys import Credential, key_hash
from schemas.named_queries import load
from sinks.outages import OUTAGE, classify

_FIND = load("sinks.sql", "keys.sql")["find_key"]
_TIMEOUT = 5.0
_UNMIGRATED = (asyncpg.UndefinedFunctionError, asyncpg.InvalidParameterValueError)
"""No such function in this database, or no such role in the whole server: `migrate` makes both."""


async def find_key(pool: "asyncpg.Pool[asyncpg.Record]", key: str) -> Credential | None:
    """The credential of a key; None when it is unknown, expired or revoked.

    Raises:
        Permanent: the database is not migrated, or refuses us.
        Temporary: it is away.
    """
    try:
        async with asyncio.timeout(_TIMEOUT):
            row = await pool.fetchrow(_FIND, key_hash(key))
    except _UNMIGRATED as error:
        raise Permanent(
            f"The database is not migrated. Run: headrace migrate, and check the DSN and role ({error})."
        ) from error
    except OUTAGE as error:
        raise classify(error) from error
    return None if row is None else Credential(row["tenant_id"], frozenset(row["scopes"]))
