"""Runs that nobody finishes, and raw points that nobody asks for any more."""

from datetime import timedelta
from uuid import UUID

from schemas.named_queries import load
from sinks.run_states import shortfall
from sinks.runs import run_of
from sinks.transactions import HOUR, Transactions

_SQL = load("sinks.sql", "runs.sql")


class RunUpkeep(Transactions):
    """What time does to runs, through a pool in the role headrace_writer. Raises as `RunStore` does."""

    async def unsettled(self, grace: timedelta) -> list[UUID]:
        """Return the runs that `settle` would change, as far as one can tell without locking them."""
        async with self.transaction() as connection:
            rows = await connection.fetch(_SQL["unsettled"], grace)
        return [
            row["execution_id"]
            for row in rows
            if row["state"] != "finished" or shortfall(run_of(row)) is None
        ]

    async def settle(self, execution: UUID, grace: timedelta) -> bool:
        """Close a run that nothing was heard of for `grace`, or open one that is whole after all.

        Returns whether it is to be aggregated now; true again when repeated before that is done.
        """
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["lock_run"], execution, grace)
            if row is None:
                return False  # its tenant was deleted
            run = run_of(row)
            why = shortfall(run)
            if run.state == "finished":
                settled = run.incomplete is not None and why is None and not run.raw_deleted
            else:
                settled = run.state != "aggregating" and row["silent"]
            if settled:
                await connection.execute(_SQL["settle"], execution, why)
            return settled or run.state == "aggregating"

    async def drop_kept(self, retention: timedelta) -> int:
        """Delete the raw points of runs that kept theirs for so long; return how many runs."""
        async with self.transaction() as connection:
            rows = await connection.fetch(_SQL["kept_too_long"], retention)
        for row in rows:
            async with self.long_transaction() as connection:
                await connection.execute(_SQL["drop_raw"], row["execution_id"], timeout=HOUR)
                await connection.execute(_SQL["raw_dropped"], row["execution_id"])
        return len(rows)
