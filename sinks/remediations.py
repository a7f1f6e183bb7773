"""Remediations: one row an incident, whatever is repeated, and what becomes of it.

Every decision is one transaction under a lock, so that it holds for any number of workers, and is read
back, not taken again, by a worker that repeats it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg

from schemas.errors import Invalid
from schemas.named_queries import load
from sinks.copy import Connection
from sinks.guards import Facts, Limits, refusal
from sinks.transactions import Transactions

State = Literal[
    "refused",
    "planned",
    "awaiting",
    "running",
    "verifying",
    "succeeded",
    "cancelled",
    "rejected",
    "escalated",
]
ENDED: frozenset[str] = frozenset(
    {"refused", "planned", "succeeded", "cancelled", "rejected", "escalated"}
)

_SQL = load("sinks.sql", "remediations.sql")


@dataclass(frozen=True)
class Incident:
    """An alert that fires, from `episode` on. `told` is what else is known of it, as JSON data."""

    tenant_id: UUID
    rule: str
    fingerprint: str
    episode: datetime
    level: str
    labels: Mapping[str, str]
    told: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedStep:
    """A step, as the playbook has it (JSON) and as it is filled in."""

    id: str
    action: str
    document: Mapping[str, Any]
    input: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What would be done about an incident; `refused` says why nothing can be."""

    playbook: str
    version: int | None
    steps: Sequence[PlannedStep]
    limits: Limits
    approval_expires: timedelta | None
    """None: no approval is asked for."""
    dry_run: bool
    cancel_on_resolve: bool = True
    refused: str | None = None


@dataclass(frozen=True)
class Opened:
    """What was decided of an incident. `mine`: it is for who asked to work on it, if it has not ended."""

    remediation_id: UUID
    state: State
    mine: bool
    expires_at: datetime | None
    reason: str | None = None


class RemediationStore(Transactions):
    """Through a pool in the role headrace_writer. Raises Temporary or Permanent, by what to do."""

    async def open(
        self, incident: Incident, plan: Plan, owner: str, *, resolved: bool = False
    ) -> Opened:
        """Decide what is done about an incident, once. `owner` names the workflow that asks.

        One that another workflow left unfinished is escalated: nobody knows how far it came.
        """
        key = incident.tenant_id, incident.rule, incident.fingerprint, incident.episode
        async with self.transaction() as connection:
            await connection.execute(_SQL["lock_remediations"], incident.tenant_id)
            row = await connection.fetchrow(_SQL["same_incident"], *key)
            if row is not None:
                return await _again(connection, row, owner)
            guards = await connection.fetchrow(_SQL["guards"], *key[:3])
            state, reason = _decision(plan, Facts(**guards), resolved=resolved)
            try:
                made = await connection.fetchrow(
                    _SQL["add_remediation"],
                    *key,
                    incident.level,
                    json.dumps(dict(incident.labels)),
                    json.dumps(dict(incident.told)),
                    plan.playbook,
                    plan.version,
                    json.dumps([dict(step.document) for step in plan.steps]),
                    owner,
                    state,
                    reason,
                    plan.dry_run,
                    plan.cancel_on_resolve,
                    plan.approval_expires,
                )
            except asyncpg.ForeignKeyViolationError as error:
                tenant = incident.tenant_id
                raise Invalid("unknown_tenant", f"There is no tenant {tenant}.") from error
            actor = f"{plan.playbook}@{plan.version}"
            await connection.executemany(
                _SQL["plan_step"],
                [
                    (made["remediation_id"], step.id, step.action, actor, json.dumps(step.input))
                    for step in plan.steps
                ],
            )
        return Opened(made["remediation_id"], state, True, made["expires_at"], reason)

    async def decide(
        self, remediation: UUID, verdict: Literal["approved", "rejected"], who: str, why: str
    ) -> None:
        """Take an approver's word. Safe to repeat. Raises Invalid when it is not asked for, or too late."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["lock_remediation"], remediation)
            if row is None:
                raise Invalid("unknown_remediation", f"There is no remediation {remediation}.")
            done = "running" if verdict == "approved" else "rejected"
            if row["state"] == done and row["approver"] == who:
                return
            if row["state"] != "awaiting":
                raise Invalid("not_awaiting", f"It is {row['state']}: nobody waits for a decision.")
            if row["expired"]:
                raise Invalid("expired", "It has expired: the alert has fired for too long.")
            if verdict == "approved" and row["paused"] is not None:
                raise Invalid(
                    "paused", f"Remediation is paused by {row['paused']}: resume it first."
                )
            if verdict == "approved":
                await connection.execute(_SQL["approve"], remediation, who)
            else:
                await connection.execute(_SQL["reject"], remediation, who, f"rejected by {who}")
            await connection.execute(
                _SQL["note_step"], remediation, "", "approval", "approval", who, why, verdict
            )

    async def go_on(self, remediation: UUID, state: State) -> None:
        """It is in this state now, unless it has ended."""
        async with self.transaction() as connection:
            await connection.execute(_SQL["go_on"], remediation, state)

    async def end(
        self,
        remediation: UUID,
        state: State,
        reason: str,
        *,
        only_from: Sequence[State] | None = None,
    ) -> State:
        """End it, unless it has ended, or is not `only_from`; return the state that it is in after that."""
        async with self.transaction() as connection:
            await connection.execute(_SQL["end_remediation"], remediation, state, reason, only_from)
            found: State | None = await connection.fetchval(_SQL["state_of"], remediation)
        return found or "cancelled"  # gone, with its tenant or metric


def _decision(plan: Plan, facts: Facts, *, resolved: bool) -> tuple[State, str | None]:
    reason = plan.refused or refusal(plan.limits, facts)
    if reason is not None:
        return "refused", reason
    if plan.dry_run:
        return "planned", "dry run: nothing was done"
    if resolved:
        return "cancelled", "the alert resolved before anything was done"
    return ("running" if plan.approval_expires is None else "awaiting"), None


async def _again(connection: Connection, row: Any, owner: str) -> Opened:
    """What was decided before, for the same workflow or another."""
    state: State = row["state"]
    if row["owner"] != owner and state not in ENDED:
        state = "escalated"
        await connection.execute(
            _SQL["end_remediation"],
            row["remediation_id"],
            state,
            "the workflow that worked on it was ended from outside: look at its last step",
            None,
        )
    return Opened(row["remediation_id"], state, row["owner"] == owner, row["expires_at"])
