"""Everything that is past its retention: expired parts, and rows that go before their part does."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from schemas.lifecycle import Level, LifecyclePolicy
from schemas.named_queries import load
from sinks.lifecycle import definitions, incidents, retention
from sinks.lifecycle.ports import Part, Removal
from sinks.lifecycle.sessions import Sessions

_SQL = load("sinks.sql", "lifecycle.sql")

Judge = Callable[[Part, tuple[int, ...]], Awaitable[Removal | None]]
"""What becomes of an expired part of which these series are kept longer; None: nothing yet."""


async def removals(
    sessions: Sessions,
    policy: LifecyclePolicy,
    now: datetime,
    *,
    parts: Iterable[Part],
    tables: dict[Level, tuple[str, str]],
    judge: Judge,
) -> list[Removal]:
    """Removals in the order in which they are carried out; `tables` as `definitions.rows_past_retention`."""
    metrics = await definitions.kept_for(sessions)
    found = []
    for part in retention.expired(parts, policy, now):
        kept = retention.kept_longer(part, metrics, now) if part.level == "raw" else ()
        removal = await judge(part, kept)
        if removal is not None:
            found.append(removal)
    found += await definitions.rows_past_retention(sessions, tables, metrics, policy, now)
    found += await definitions.undefined_sketches(sessions)
    found += await definitions.old_hours(sessions, policy, now)
    return found + await incidents.past_retention(sessions, policy, now)


async def remove_common(sessions: Sessions, removal: Removal) -> bool:
    """Delete rows of a table that is the same in both modes; False where the removal is of another."""
    if removal.level == "versions":
        await sessions.execute(_SQL["delete_versions"], removal.end)
    elif removal.level in {"alerts", "remediations"}:
        await incidents.delete(sessions, removal)
    else:
        return False
    return True
