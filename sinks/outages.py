"""Tells the database's errors apart by what to do next: retry, find the bad row, or stop."""

import asyncio

import asyncpg

from schemas.errors import HeadraceError, Permanent, Restart, Temporary

OUTAGE = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a COPY raises whose connection breaks under it
)
"""What a call on the database may raise; pass it to `classify`."""

_ROW = ("22", "23")
"""SQLSTATE classes that one row causes: data exception, integrity violation."""

_PERSON = ("0A", "28", "3D", "3F", "42")
"""Classes that stay until a person acts: unsupported, not allowed in, no such database or table."""


def is_row_error(error: BaseException) -> bool:
    """Whether a row of the batch is to blame, so that the rest can be stored without it."""
    if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None:
        return False  # "no partition for row": somebody took a day away, the row is good
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _ROW


def classify(error: BaseException) -> HeadraceError:
    """The same error by what to do: Permanent, Restart, or Temporary (all that may pass by itself)."""
    state = getattr(error, "sqlstate", None) or ""
    if is_row_error(error):
        return Restart(f"The database refuses what no row explains ({state}): {error}")
    if state[:2] in _PERSON:
        return Permanent(
            f"The database refuses ({state}): {error}. Run `headrace migrate`, check the DSN and role."
        )
    return Temporary(f"The database can't be used ({state or type(error).__name__}): {error}")
