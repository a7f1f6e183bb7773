"""Refreshes a level, step by step: each a transaction over a day at the most, until nothing is left."""

from datetime import datetime

from schemas.lifecycle import Level
from schemas.named_queries import load
from sinks.lifecycle.ports import Progress, Refreshed
from sinks.lifecycle.sessions import HOUR, Sessions

_SQL = load("sinks.sql", "lifecycle.sql")


async def refresh_level(
    sessions: Sessions, level: Level, ready: datetime, progress: Progress
) -> Refreshed:
    """Store what changed in buckets before `ready`."""
    done = Refreshed()
    while True:
        async with sessions.transaction() as connection:
            if level == "sketch":
                row = await connection.fetchrow(_SQL["refresh_sketches"], ready, timeout=HOUR)
            else:
                row = await connection.fetchrow(_SQL["refresh_rollup"], level, ready, timeout=HOUR)
        if row["first"] is None:
            return done
        if not row["head"]:
            # Backwards only: while late samples keep coming for a day, the others have their turn.
            ready = row["first"]
        done += Refreshed(1, row["marks"], row["changed"])
        progress(
            f"{level}: {row['first']:%Y-%m-%d %H:%M} to {row['last']:%H:%M}, {row['changed']} rows"
        )
