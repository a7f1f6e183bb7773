"""Routes of playbooks: what may be done about alerts. Every version is kept; the newest is run."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import Field

from query import cursors
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Reading
from query.parameters import CursorText, Limit
from query.parts import Wired
from query.problems import bad_parameter
from schemas.playbook_steps import check_all
from schemas.playbooks import Include, Playbook, plain
from schemas.problems import described
from schemas.rules import RuleName

MOST = 1000
"""Playbooks of one tenant."""

_Name = Annotated[RuleName, Path(description="The playbook's name.", examples=["items-restart"])]


class StoredPlaybook(Answer):
    """A playbook, and which version it is."""

    version: int = Field(description="counts its changes")
    created_at: datetime
    playbook: Playbook


class PlaybookPage(Answer):
    """Playbooks by name, each in its newest version."""

    playbooks: list[StoredPlaybook]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class PlaybookRemoval(Answer):
    """What was removed."""

    name: str
    versions: int


router = APIRouter(
    prefix="/api/v1/playbooks", tags=["remediation"], responses=described(401, 403, 422, 503, 504)
)


@router.get("", summary="Playbooks by name")
async def list_playbooks(
    *, parts: Wired, tenant: Tenant, limit: Limit = 100, cursor: CursorText = None
) -> PlaybookPage:
    """Page through the playbooks."""
    after = cursors.after(cursor, cursors.Name)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("list_playbooks", after and after.name, limit + 1)
    last = cursors.Name(rows[limit - 1]["name"]) if len(rows) > limit else None
    return PlaybookPage(
        playbooks=[_stored(row) for row in rows[:limit]],
        next_cursor=cursors.following(last),
    )


@router.get("/{name}", summary="One playbook", responses=described(404))
async def get_playbook(
    parts: Wired,
    tenant: Tenant,
    name: _Name,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Which one. Default: the newest.")
    ] = None,
) -> StoredPlaybook:
    """Show a playbook, also as it was."""
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("get_playbook", name, version)
    if not rows:
        raise HTTPException(404, f"There is no playbook {name!r}, or not in that version.")
    return _stored(rows[0])


@router.put("/{name}", summary="Store a playbook", responses=described(400, 409, 413))
async def put_playbook(
    parts: Wired, tenant: AdminTenant, name: _Name, playbook: Playbook
) -> StoredPlaybook:
    """Store a version of a playbook, unless the newest one is the same.

    It must fit with the others: each that it includes is there, and none includes itself in the end.
    Receivers that it tells are looked up when an alert starts it: without one it is refused, and says so.
    """
    if playbook.name != name:
        raise bad_parameter("name", f"is {name!r}, but the playbook calls itself {playbook.name!r}")
    async with parts.database.writing(tenant) as writing:
        there = await _hold(writing)
        old = there.get(name)
        if old is not None and old.playbook == playbook:
            return old
        if old is None and len(there) >= MOST:
            raise HTTPException(409, f"There are {MOST} playbooks: delete some first.")
        check_all({**{key: one.playbook for key, one in there.items()}, name: playbook})
        version = 1 if old is None else old.version + 1
        rows = await writing.rows("add_playbook", name, version, json.dumps(plain(playbook)))
    return _stored(rows[0])


@router.delete("/{name}", summary="Delete a playbook", responses=described(404, 409))
async def delete_playbook(parts: Wired, tenant: AdminTenant, name: _Name) -> PlaybookRemoval:
    """Delete all versions of a playbook. Alerts that name it are then not remedied, and say so."""
    async with parts.database.writing(tenant) as writing:
        there = await _hold(writing)
        users = [
            key
            for key, one in there.items()
            if any(isinstance(s.do, Include) and s.do.playbook == name for s in one.playbook.steps)
        ]
        if users:
            raise HTTPException(409, f"It is included by {', '.join(users[:5])}.")
        rows = await writing.rows("remove_playbook", name)
    if not rows:
        raise HTTPException(404, f"There is no playbook {name!r}.")
    return PlaybookRemoval(name=name, versions=len(rows))


async def _hold(writing: Reading) -> dict[str, StoredPlaybook]:
    """The newest versions, which nobody else changes until the transaction ends."""
    await writing.rows("lock_playbooks")
    return {row["name"]: _stored(row) for row in await writing.rows("hold_playbooks")}


def _stored(row: Mapping[str, Any]) -> StoredPlaybook:
    return StoredPlaybook(
        version=row["version"],
        created_at=row["created_at"],
        playbook=Playbook.model_validate_json(row["document"]),
    )
