"""Rows that go before their part does: of metrics kept for a shorter time, of sketches and versions."""

from datetime import datetime

from schemas.lifecycle import Level, LifecyclePolicy
from schemas.named_queries import load
from sinks.lifecycle.ports import Removal
from sinks.lifecycle.retention import KeptFor, kept_shorter
from sinks.lifecycle.sessions import Sessions

_SQL = load("sinks.sql", "lifecycle.sql")


async def kept_for(sessions: Sessions) -> list[KeptFor]:
    """Metrics with a retention of their own."""
    rows = await sessions.fetch(_SQL["definitions"])
    return [KeptFor(r["name"], r["retention_days"], tuple(r["series"])) for r in rows]


async def rows_past_retention(
    sessions: Sessions,
    tables: dict[Level, tuple[str, str]],
    metrics: list[KeptFor],
    policy: LifecyclePolicy,
    now: datetime,
) -> list[Removal]:
    """Rows of metrics that are kept shorter, in each of `tables` (level → table and column of time)."""
    found = []
    for metric, cutoff in kept_shorter(metrics, policy, now):
        for level, (table, time) in tables.items():
            row = (
                await sessions.fetch(
                    f"SELECT count(*) AS rows, min({time}) AS begin FROM {table} "  # noqa: S608 # both are our own names
                    f"WHERE series_id = ANY ($1) AND {time} < $2",
                    list(metric.series),
                    cutoff,
                )
            )[0]
            if row["rows"]:
                reason = f"{metric.name} is defined to be kept {metric.days} days"
                removal = Removal(
                    "delete", level, table, row["begin"], cutoff, row["rows"], None, reason,
                    metric.series,
                )  # fmt: skip
                found.append(removal)
    return found


async def undefined_sketches(sessions: Sessions) -> list[Removal]:
    """Sketches of metrics that are no longer defined as histogram or summary."""
    row = (await sessions.fetch(_SQL["undefined_sketches"]))[0]
    if not row["rows"]:
        return []
    reason = "no longer defined as histogram or summary"
    return [
        Removal(
            "delete", "sketch", "sketch_1h", row["begin"], row["end"], row["rows"], None, reason,
            undefined=True,
        )
    ]  # fmt: skip


async def delete_sketches(
    sessions: Sessions, removal: Removal, begin: datetime, end: datetime
) -> None:
    """Delete what a removal says, of the hours in [begin, end)."""
    if removal.undefined:
        await sessions.execute(_SQL["delete_undefined_sketches"], begin, end)
    else:
        await sessions.execute(_SQL["delete_sketches"], list(removal.series), begin, end)


async def old_hours(sessions: Sessions, policy: LifecyclePolicy, now: datetime) -> list[Removal]:
    """Sketches and versions of hours that are older than hourly rollups are kept."""
    kept = policy.keeping("sketch").retention
    found = []
    for level, table, query in (
        ("sketch", "sketch_1h", "old_sketches"),
        ("versions", "hour_versions", "old_versions"),
    ):
        row = (await sessions.fetch(_SQL[query], now - kept))[0]
        if row["rows"]:
            reason = f"hours are kept {kept.days} days"
            found.append(
                Removal("delete", level, table, row["begin"], now - kept, row["rows"], None, reason)  # type: ignore[arg-type] # one of the two above
            )
    return found
