"""TimescaleDB's background jobs, made to say what the settings say. Nothing is touched that is right."""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from schemas.lifecycle import LifecyclePolicy
from schemas.named_queries import load
from sinks.lifecycle.ports import PolicyStatus, Progress
from sinks.lifecycle.sessions import Sessions

_SQL = load("sinks.sql", "lifecycle_timescaledb.sql")
_KINDS = {
    "policy_refresh_continuous_aggregate": "refresh",
    "policy_compression": "compression",
    "policy_retention": "retention",
}


@dataclass(frozen=True)
class _Job:
    """A job as it should be: kind and relation name it, the times are its settings."""

    kind: str
    relation: str
    times: tuple[timedelta, ...]


async def apply_policies(
    sessions: Sessions, policy: LifecyclePolicy, raw_retention: timedelta, progress: Progress
) -> int:
    """Add and alter jobs; return how many. `raw_retention` is that of the most patient definition."""
    found = {
        (_KINDS[row["kind"]], row["relation"]): row for row in await sessions.fetch(_SQL["jobs"])
    }
    touched = 0
    for job in _wanted(policy, raw_retention):
        row = found.get((job.kind, job.relation))
        if row is None:
            await sessions.execute(_SQL[f"add_{job.kind}"], job.relation, *job.times)
        elif _times(row, job.kind) != job.times:
            await sessions.execute(_SQL[f"alter_{job.kind}"], row["job_id"], *job.times)
        else:
            continue
        touched += 1
        times = ", ".join(str(time).removesuffix(", 0:00:00") for time in job.times)
        progress(f"policy {job.kind} of {job.relation}: {times}")
    return touched


async def policy_status(sessions: Sessions) -> list[PolicyStatus]:
    """The jobs, and how they went last."""
    return [
        PolicyStatus(
            f"{_KINDS[row['kind']]} of {row['relation']}",
            row["every"].total_seconds(),
            row["last_run"],
            f"failed: {row['error']}" if row["error"] else row["last_result"],
            row["next_run"],
        )
        for row in await sessions.fetch(_SQL["jobs"])
    ]


def _wanted(policy: LifecyclePolicy, raw_retention: timedelta) -> list[_Job]:
    jobs = [
        _Job("compression", "samples", (policy.raw.compress_after,)),
        _Job("retention", "samples", (max(raw_retention, policy.raw.retention),)),
    ]
    for level, keeping in policy.rollups.items():
        refresh, view = policy.refreshes[level], f"samples_{level}"
        jobs += [
            _Job("refresh", view, (policy.window(level), refresh.lag, refresh.every)),
            _Job("compression", view, (keeping.compress_after,)),
            _Job("retention", view, (keeping.retention,)),
        ]
    return jobs


def _times(row: asyncpg.Record, kind: str) -> tuple[timedelta, ...]:
    return (row["window"], row["lag"], row["every"]) if kind == "refresh" else (row["after"],)
