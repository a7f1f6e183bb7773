"""What stands still in the database, as whoever watches over an installation wants to know it."""

from dataclasses import dataclass

from schemas.named_queries import load
from sinks.transactions import Transactions

_SQL = load("sinks.sql", "standing.sql")


@dataclass(frozen=True)
class Standing:
    """`oldest_post_test` is in seconds since that run was heard of; 0 where none waits for its aggregates.

    `maintained` are the Unix times at which parts of maintenance ended, of those whose last end was good.
    """

    oldest_post_test: float
    maintained: dict[str, float]


class StandingStore(Transactions):
    """Reads it through a pool in the role headrace_owner. Raises Temporary and Permanent."""

    async def read(self) -> Standing:
        """As of now."""
        async with self.transaction() as connection:
            oldest = await connection.fetchval(_SQL["oldest_post_test"])
            rows = await connection.fetch(_SQL["maintained"])
        return Standing(oldest, {row["part"]: row["ended_at"] for row in rows})
