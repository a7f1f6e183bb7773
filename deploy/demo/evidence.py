"""Counts in the database itself what became of a run, past the query API."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from schemas.named_queries import load

_SQL = load(__package__, "evidence.sql")


@dataclass(frozen=True)
class Evidence:
    """Rows of one run."""

    stored: int
    dead_lettered: int
    raw_left: int
    aggregate_rows: int


async def collect(connection: asyncpg.Connection, execution: UUID) -> Evidence:
    """Count the rows of a run."""
    points = await connection.fetchrow(_SQL["points"], execution)
    return Evidence(
        **points,
        raw_left=await connection.fetchval(_SQL["raw_left"], execution),
        aggregate_rows=await connection.fetchval(_SQL["aggregate_rows"], execution),
    )


async def deduplicated(connection: asyncpg.Connection, group: str, topic: str) -> int:
    """Records that a consumer group was handed again and dropped, since the beginning."""
    return int(await connection.fetchval(_SQL["deduplicated"], group, topic))
