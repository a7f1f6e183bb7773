"""What a database's schema is, as sorted lines of text: two schemas are the same if these are.

Left out: what an extension owns, Alembic's version table (it stays when all is rolled back), and
all that depends on the order of creation (object ids, column numbers, order of grants).
"""

import re

import psycopg

from schemas.named_queries import load

_HAS_TIMESCALE = "SELECT FROM pg_extension WHERE extname = 'timescaledb'"

_NUMBERED = re.compile(
    r"(_materialized_hypertable_|cagg_watermark\(|continuous_agg_invalidation_trigger\(')\d+"
)
"""Continuous aggregates carry the numbers of their hypertables in names and texts."""


def describe(dsn: str) -> list[str]:
    """The schema of a database, an object or a property a line."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        queries = load(__package__, "catalog.sql")
        if connection.execute(_HAS_TIMESCALE).fetchone() is not None:
            queries |= load(__package__, "catalog_timescaledb.sql")
        return sorted(
            _NUMBERED.sub(r"\1", " | ".join([kind, *map(str, row)]))
            for kind, query in queries.items()
            for row in connection.execute(query.encode())
        )
