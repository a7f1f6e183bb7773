"""Ends the session of a writer that holds what its successor needs and gives the database nothing to do.

A writer that was paused in mid-COPY is such a one. The server counts it as active, and no timeout of its
own ends it: while COPY reads from its client it can't be cancelled.
"""

from collections.abc import Iterable

import asyncpg

from schemas.batches import Source
from schemas.named_queries import load
from sinks.tallies import source_columns

_SQL = load("sinks.sql", "ingest.sql")


async def end_stalled_writer(
    pool: "asyncpg.Pool[asyncpg.Record]", group: str, sources: Iterable[Source]
) -> None:
    """End it, if it holds the offset rows of one of these sources; raises what asyncpg raises."""
    async with pool.acquire() as connection, connection.transaction():
        holders = await connection.fetch(_SQL["holders"], group, *source_columns(sorted(sources)))
        # Only the login that opened a session may see what it does and end it.
        await connection.execute("SET LOCAL ROLE NONE")
        await connection.execute(_SQL["end_stalled"], [row["holder"] for row in holders])
