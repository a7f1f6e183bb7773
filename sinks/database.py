"""Connections to the database, in the role and with the time limits that a process needs."""

from typing import Literal

import asyncpg

Role = Literal["headrace_owner", "headrace_writer", "headrace_editor", "headrace_reader"]


async def connect_pool(
    dsn: str, *, role: Role | None, application: str, max_size: int = 4, tidy: bool = True
) -> "asyncpg.Pool[asyncpg.Record]":
    """Open a pool whose sessions assume `role` (None: the login's own, for administration).

    Nothing is connected yet, so a process may start while its database is away. The limits keep a
    writer that is paused or cut off from holding the offset rows that its successor needs. Without
    `tidy` a connection that is given back is rolled back and no more, which saves a question: for
    processes whose every setting ends with its transaction.
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
        dsn,
        min_size=0,
        max_size=max_size,
        command_timeout=60,
        server_settings=settings,
        reset=None if tidy else _as_it_is,
    )


async def _as_it_is(_: object) -> None:
    """Nothing is left behind."""
