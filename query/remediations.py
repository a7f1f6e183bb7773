"""Routes of remediations: what was done about which incident, and who approves what waits for it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from query import cursors
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Reading
from query.parameters import CursorText, Limit, Moment
from query.parts import Parts, Wired
from schemas.definitions import Storable
from schemas.errors import Invalid, Temporary
from schemas.problems import described
from schemas.rules import RuleName

State = Literal[
    "refused", "planned", "awaiting", "running", "verifying", "succeeded", "cancelled", "rejected", "escalated",
]  # fmt: skip


class Remediation(Answer):
    """What is done about an incident: an alert, from the time on when it began to fire."""

    remediation_id: UUID
    rule: str
    fingerprint: str = Field(description="of the alert")
    episode: datetime = Field(description="when what the alert is about began")
    level: str
    labels: dict[str, str]
    playbook: str
    playbook_version: int | None
    state: State
    reason: str | None = Field(description="why it is, or ended, in this state")
    dry_run: bool
    approver: str | None
    expires_at: datetime | None = Field(description="until when it waits for approval")
    created_at: datetime
    began_at: datetime | None
    ended_at: datetime | None


class RemediationPage(Answer):
    """Remediations, the newest first."""

    remediations: list[Remediation]
    next_cursor: str | None = Field(description="of the page with older ones; null on the last")


class TrailEntry(Answer):
    """One line of the audit trail: what was planned, or an attempt that was made."""

    step: str
    kind: Literal["step", "undo", "approval", "escalation", "verification"]
    attempt: int = Field(description="0: what was planned when it was opened")
    action: str
    actor: str = Field(description="the playbook and its version, the approver, or the workflow")
    input: dict[str, Any] | None = Field(description="filled in; secrets are references")
    output: str | None
    status: str
    began_at: datetime
    ended_at: datetime | None


class RemediationDetail(Remediation):
    """A remediation with its audit trail."""

    incident: dict[str, Any] = Field(description="what was known of the alert")
    trail: list[TrailEntry]


class Word(BaseModel):
    """An approver's word."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    who: Annotated[Storable, Field(min_length=1, max_length=200, pattern=r"\S", examples=["ana"])]
    why: Annotated[Storable, Field(max_length=1000)] = ""


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    created_at: cursors.Moment
    remediation_id: UUID


_Id = Annotated[UUID, Path(description="The remediation's id.")]
_TO_CONFLICT = described(400, 404, 409, 413)

router = APIRouter(
    prefix="/api/v1/remediations",
    tags=["remediation"],
    responses=described(401, 403, 422, 503, 504),
)


@router.get("", summary="Remediations, the newest first")
async def list_remediations(
    *,
    parts: Wired,
    tenant: Tenant,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    rule: Annotated[RuleName | None, Query(description="Only those of this rule.")] = None,
    since: Annotated[Moment | None, Query(description="Only those opened since.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> RemediationPage:
    """Page through what was done about incidents, and what was not, and why."""
    request = (state, rule, since)
    after = cursors.after(cursor, _Position, *request)
    position = (after.created_at, after.remediation_id) if after else (None, None)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("list_remediations", *request, *position, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    end = last and _Position(last["created_at"], last["remediation_id"])
    return RemediationPage(
        remediations=[Remediation(**_facts(row)) for row in rows[:limit]],
        next_cursor=cursors.following(end, *request),
    )


@router.get("/{remediation_id}", summary="One remediation", responses=described(404))
async def get_remediation(parts: Wired, tenant: Tenant, remediation_id: _Id) -> RemediationDetail:
    """Show a remediation with its audit trail: who or what did what, when, and what came of it."""
    async with parts.database.reading(tenant) as reading:
        row = await _get(reading, remediation_id)
        trail = await reading.rows("trail", remediation_id)
    return RemediationDetail(
        **_facts(row),
        incident=json.loads(row["incident"]),
        trail=[
            TrailEntry(**{**one, "input": one["input"] and json.loads(one["input"])})
            for one in map(dict, trail)
        ],
    )


@router.post("/{remediation_id}/approve", summary="Let it begin", responses=_TO_CONFLICT)
async def approve(
    parts: Wired, tenant: AdminTenant, remediation_id: _Id, word: Word
) -> Remediation:
    """Approve a remediation that waits for it; it begins at once."""
    return await _decide(parts, tenant, remediation_id, word, approved=True)


@router.post("/{remediation_id}/reject", summary="Have nothing done", responses=_TO_CONFLICT)
async def reject(parts: Wired, tenant: AdminTenant, remediation_id: _Id, word: Word) -> Remediation:
    """Reject a remediation that waits for approval; it ends."""
    return await _decide(parts, tenant, remediation_id, word, approved=False)


async def _decide(
    parts: Parts, tenant: UUID, remediation_id: UUID, word: Word, *, approved: bool
) -> Remediation:
    async with parts.database.reading(tenant) as reading:
        row = await _get(reading, remediation_id)
    if row["state"] != "awaiting":
        raise HTTPException(409, f"It is {row['state']}: nobody waits for a decision.")
    if parts.approvals is None:
        raise Temporary("This API has no Temporal to tell: set HEADRACE_TEMPORAL, or ask another.")
    try:
        await parts.approvals.decide(
            tenant,
            row["rule"],
            row["fingerprint"],
            remediation_id,
            approved=approved,
            who=word.who,
            why=word.why,
        )
    except Invalid as error:
        raise HTTPException(409, str(error)) from error
    async with parts.database.reading(tenant) as reading:
        return Remediation(**_facts(await _get(reading, remediation_id)))


async def _get(reading: Reading, remediation_id: UUID) -> Any:
    rows = await reading.rows("get_remediation", remediation_id)
    if not rows:
        raise HTTPException(404, f"You have no remediation {remediation_id}.")
    return rows[0]


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: row[name] for name in Remediation.model_fields}
    return {**facts, "labels": json.loads(facts["labels"])}
