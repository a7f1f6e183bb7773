"""Alerts and what was done about them: what ended long ago goes, what is open stays however old it is."""

from datetime import datetime

from schemas.lifecycle import LifecyclePolicy, Record
from schemas.named_queries import load
from sinks.lifecycle.ports import Removal
from sinks.lifecycle.sessions import HOUR, Sessions

_SQL = load("sinks.sql", "lifecycle_incidents.sql")
_BATCH = 5_000
"""Rows in a transaction: what records alerts waits for none longer than it takes to look."""
_TABLES: tuple[tuple[Record, str], ...] = (
    # The history first: deleted with its alert it would be one transaction.
    ("alerts", "alert_history"),
    ("alerts", "alerts"),
    ("alerts", "silences"),
    ("remediations", "remediations"),
    ("remediations", "remediation_pauses"),
)


async def past_retention(
    sessions: Sessions, policy: LifecyclePolicy, now: datetime
) -> list[Removal]:
    """Rows that ended longer ago than they are kept, in the order in which they are deleted."""
    found = []
    for record, table in _TABLES:
        kept = policy.records[record]
        row = (await sessions.fetch(_SQL[f"old_{table}"], now - kept))[0]
        if row["rows"]:
            reason = f"{record} are kept {kept.days} days after their end"
            removal = Removal(
                "delete", record, table, row["begin"], now - kept, row["rows"], None, reason
            )
            found.append(removal)
    return found


async def delete(sessions: Sessions, removal: Removal) -> None:
    """Delete what a removal says, batch by batch; what is in use is left for the next time."""
    while True:
        async with sessions.transaction() as connection:
            answer = await connection.execute(
                _SQL[f"delete_{removal.part}"], removal.end, _BATCH, timeout=HOUR
            )
        if int(answer.split()[-1]) == 0:
            return


async def oldest(sessions: Sessions) -> list[tuple[Record, str, datetime]]:
    """What ended first of each kind, and when."""
    rows = await sessions.fetch(_SQL["oldest"])
    return [(row["record"], row["part"], row["ended"]) for row in rows if row["ended"]]
