"""Connections to the database, in the role and with the time limits that a process needs."""

from typing import Literal

import asyncpg

Role = Literal["headrace_writer", "headrace_reader"]


async def connect_pool(
    dsn: str, *, role: Role | None, application: str, min_size: int = 1, max_size: int = 4
) -> "asyncpg.Pool[asyncpg.Record]":
    """Open a pool whose sessions assume `role` (None: the login's own, for administration).

    With `min_size=0` nothing is connected yet, so a process may start while the database is away.

    No connection is made yet: a process starts while its database is away. The limits keep a paused or cut-off writer from holding the offset rows that its successor needs.
    """
    settings = {
        "application_name": f"headrace {application}",
        "idle_in_transaction_session_timeout": "10s",
        "lock_timeout": "10s",
        "TimeZone": "UTC",
    }
    if role is not None:
        settings["role"] = role
    return await asyncpg.create_pool(
        dsn, min_size=min_size, max_size=max_size, command_timeout=60, server_settings=settings
    )
