"""The audit trail of remediations: an attempt is written down before it is made.

That is also what bounds attempts: a worker that is killed in the middle of one has used it up.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from schemas.errors import Invalid
from schemas.named_queries import load
from sinks.transactions import Transactions

Kind = Literal["step", "undo", "escalation"]
_STATES: dict[Kind, tuple[str, ...]] = {
    "step": ("running",),
    "undo": ("running",),
    "escalation": ("escalated",),
}
"""In which a remediation's steps of each kind are begun."""

_SQL = load("sinks.sql", "remediations.sql")


@dataclass(frozen=True)
class Subject:
    """What a step is done for."""

    tenant_id: UUID
    rule: str
    fingerprint: str
    level: str
    labels: dict[str, str]
    told: dict[str, Any]
    playbook: str
    version: int
    steps: list[dict[str, Any]]
    created_at: datetime
    cancel_on_resolve: bool


@dataclass(frozen=True)
class Attempt:
    """One attempt at a step: its number, from 1; or, without one, what has come of the step already."""

    number: int | None
    outcome: Literal["succeeded", "failed", "stopped"] = "failed"
    told: str = ""
    last: bool = True
    """Whether there is none after it."""


@dataclass(frozen=True)
class StepKey:
    """Which step of which remediation, and who works on it."""

    remediation_id: UUID
    kind: Kind
    step: str
    owner: str


class RemediationTrail(Transactions):
    """Through a pool in the role headrace_writer. Raises Temporary or Permanent, by what to do."""

    async def load(self, remediation: UUID) -> Subject:
        """What it is about. Raises Invalid when it is gone, with its tenant."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["load_remediation"], remediation)
        if row is None:
            raise Invalid("gone", f"Remediation {remediation} is gone, with its tenant or metric.")
        return Subject(
            tenant_id=row["tenant_id"],
            rule=row["rule"],
            fingerprint=row["fingerprint"],
            level=row["level"],
            labels=json.loads(row["labels"]),
            told=json.loads(row["incident"]),
            playbook=row["playbook"],
            version=row["playbook_version"],
            steps=json.loads(row["steps"]),
            created_at=row["created_at"],
            cancel_on_resolve=row["cancel_on_resolve"],
        )

    async def begin(
        self, key: StepKey, action: str, actor: str, given: Mapping[str, Any], allowed: int
    ) -> Attempt:
        """Begin the next attempt of at most `allowed`, in the one transaction that makes sure that it may.

        Without a number in the answer nothing may be done: it has succeeded, its attempts are used up, or
        remediation was paused or ended meanwhile.
        """
        at = key.remediation_id, key.kind, key.step
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["lock_remediation"], key.remediation_id)
            if row is None or row["owner"] != key.owner or row["state"] not in _STATES[key.kind]:
                state = "gone" if row is None else row["state"]
                return Attempt(None, "stopped", f"the remediation is {state} meanwhile")
            last = await connection.fetchrow(_SQL["last_attempt"], *at)
            number = last["attempt"] if last else 0
            if last is not None and last["status"] == "begun":
                told = "its worker died in the middle of it: nobody knows how far it came"
                await connection.execute(_SQL["end_attempt"], *at, number, "failed", told)
                last = {"status": "failed", "output": told}
            if last is not None and last["status"] == "succeeded":
                return Attempt(None, "succeeded", last["output"] or "")
            if last is not None and number >= allowed:
                return Attempt(None, "failed", last["output"] or "")
            if row["paused"] is not None and key.kind != "escalation":
                return Attempt(None, "stopped", f"remediation is paused by {row['paused']}")
            await connection.execute(
                _SQL["begin_attempt"],
                key.remediation_id,
                key.step,
                key.kind,
                number + 1,
                action,
                actor,
                json.dumps(dict(given)),
            )
        return Attempt(number + 1, last=number + 1 >= allowed)

    async def end(
        self, key: StepKey, number: int, status: Literal["succeeded", "failed"], told: str
    ) -> None:
        """Write down how an attempt ended."""
        async with self.transaction() as connection:
            await connection.execute(
                _SQL["end_attempt"],
                key.remediation_id,
                key.kind,
                key.step,
                number,
                status,
                told.replace("\0", "�"),
            )

    async def note(self, key: StepKey, action: str, actor: str, status: str, told: str) -> None:
        """Write down what needed no attempt: a step that was skipped, a wait that is over."""
        at = key.remediation_id, key.step, key.kind
        async with self.transaction() as connection:
            await connection.execute(_SQL["note_step"], *at, action, actor, told, status)
