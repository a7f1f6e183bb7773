"""Scratch databases on a real server, for benchmarks and tests."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from psycopg import sql


@contextmanager
def scratch_database(server: str, template: str = "template0") -> Iterator[str]:
    """A copy of the database `template` of `server`, dropped at the end: an empty one. Yields its DSN.

    Nobody may be connected to it meanwhile; TimescaleDB's launcher looks into template1 now and then.
    """
    name = f"headrace_scratch_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    try:
        url = sa.make_url(server).set(database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )
