"""Everything that is past its retention: expired parts, and rows that go before their part does."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from schemas.lifecycle import Level, LifecyclePolicy
from sinks.lifecycle import definitions, incidents, retention
from sinks.lifecycle.ports import Part, Removal
from sinks.lifecycle.sessions import Sessions

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
