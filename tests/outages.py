"""Outages that a test can begin and end: the server stays up, one database turns everybody away."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from psycopg import sql


@contextmanager
def database_away(server: str, dsn: str) -> Iterator[None]:
    """Cut every connection to the database of `dsn` and refuse new ones until the end."""
    name = sa.make_url(dsn).database or ""
    with psycopg.connect(server, autocommit=True) as admin:
        door = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        admin.execute(door.format(sql.Identifier(name), sql.SQL("false")))
        try:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
            yield
        finally:
            admin.execute(door.format(sql.Identifier(name), sql.SQL("true")))
