"""Finds runs whose raw points nobody has aggregated, and aggregates them: one transaction a run.

Only aggregates are written. Verdict, state and raw points are for the post-test workflow, which does not
mind that its first step is done.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from schemas.named_queries import load
from sinks.transactions import HOUR, Transactions

_SQL = load("sinks.sql", "backfill.sql")

Reason = Literal["never aggregated", "aggregated by an older version"]


@dataclass(frozen=True)
class Candidate:
    """A run that has raw points, and lacks aggregates or some of them."""

    execution: UUID
    test: str
    state: str
    started_at: datetime
    points: int
    reason: Reason


class Backfill(Transactions):
    """Over a pool in the role headrace_writer. Raises Temporary while the database is away."""

    async def find(self, grace: timedelta) -> list[Candidate]:
        """Runs to aggregate, oldest first; not those of which something was heard within `grace`."""
        async with self.long_transaction() as connection:
            rows = await connection.fetch(_SQL["candidates"], grace, timeout=HOUR)
        return [Candidate(*row) for row in rows]

    async def unannounced(self) -> list[tuple[UUID, int]]:
        """Executions with points of which no event ever came, so that nobody knows whose they are."""
        async with self.transaction() as connection:
            rows = await connection.fetch(_SQL["unannounced"])
        return [(row["execution_id"], row["points"]) for row in rows]

    async def aggregate(self, execution: UUID) -> int:
        """Aggregate a run; return the number of rows, 0 when its raw points went meanwhile."""
        async with self.long_transaction() as connection:
            rows: int = await connection.fetchval(_SQL["aggregate"], execution, timeout=HOUR)
        return rows
