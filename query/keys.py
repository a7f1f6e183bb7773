"""Routes of a tenant's API keys: its admin lists, makes, rotates and revokes them, for this tenant only."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from query import cursors
from query.answers import Answer
from query.credentials import AdminTenant
from query.database import Reading
from query.parameters import CursorText, Limit
from query.parts import Wired
from schemas.keys import ID_DIGITS, Scope, key_hash, new_key
from schemas.problems import described

MOST = 1000
"""Good keys of one tenant."""
LONGEST_DAYS = 3650
GRACE_HOURS = 24
"""How long a rotated key still works, unless the request says."""


class Key(Answer):
    """What is known of a key after it was made: all but the key."""

    id: str = Field(examples=["9f86d081884c"])
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyPage(Answer):
    """Keys, the newest first."""

    keys: list[Key]
    next_cursor: str | None = Field(description="of the page with older keys; null on the last")


class MadeKey(Key):
    """A key, shown this once."""

    key: str = Field(description="Keep it: nobody can show it again.")


class RotatedKey(MadeKey):
    """A key in another's place."""

    replaces: Key = Field(description="the old key; it works until its `expires_at`")


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NewKey(_Asked):
    """A key to make."""

    scopes: list[Scope] = Field(
        min_length=1,
        max_length=3,
        description="What it may do; a scope implies no other.",
        examples=[["read"]],
    )
    expires_in_days: int | None = Field(
        default=None, ge=1, le=LONGEST_DAYS, description="null: never", examples=[90]
    )


class Rotation(_Asked):
    """How to rotate a key."""

    grace_hours: int = Field(
        default=GRACE_HOURS,
        ge=0,
        le=24 * 365,
        description="How long the old key still works: time to hand the new one out.",
    )


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    created_at: cursors.Moment
    key_hash: Annotated[bytes, msgspec.Meta(max_length=32)]


KeyId = Annotated[
    str,
    Path(
        pattern=f"^[0-9a-f]{{{ID_DIGITS},64}}$",
        description="The key's id, as the list shows it.",
        examples=["9f86d081884c"],
    ),
]
_DEFAULTS = Rotation()

router = APIRouter(
    prefix="/api/v1/keys", tags=["keys"], responses=described(401, 403, 422, 503, 504)
)


@router.get("", summary="Keys, the newest first")
async def list_keys(
    *,
    parts: Wired,
    tenant: AdminTenant,
    dead: Annotated[bool, Query(description="Also those that expired or were revoked.")] = False,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> KeyPage:
    """Page through the tenant's keys. The keys themselves are kept nowhere."""
    after = cursors.after(cursor, _Position, dead)
    created_at, hashed = (after.created_at, after.key_hash) if after else (None, None)
    async with parts.database.writing(tenant) as session:  # readers see no hash
        rows = await session.rows("list_tenant_keys", created_at, hashed, limit + 1, dead)
    more = len(rows) > limit
    last = _Position(rows[limit - 1]["created_at"], rows[limit - 1]["key_hash"]) if more else None
    return KeyPage(
        keys=[Key(**_facts(row)) for row in rows[:limit]],
        next_cursor=cursors.following(last, dead),
    )


@router.post("", status_code=201, summary="Make a key", responses=described(400, 409, 413))
async def create_key(
    parts: Wired, tenant: AdminTenant, asked: NewKey, response: Response
) -> MadeKey:
    """Make a key for this tenant. The answer is the only one that ever shows it."""
    days = asked.expires_in_days
    life = None if days is None else timedelta(days=days)
    async with parts.database.writing(tenant) as writing:
        key, facts = await _make(writing, asked.scopes, life)
    response.headers["Cache-Control"] = "no-store"
    return MadeKey(key=key, **facts)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    summary="Put a new key in an old one's place",
    responses=described(400, 404, 409, 413),
)
async def rotate_key(
    parts: Wired,
    tenant: AdminTenant,
    key_id: KeyId,
    response: Response,
    asked: Rotation = _DEFAULTS,
) -> RotatedKey:
    """Make a key with the same scopes and as long a life; the old one expires after the grace."""
    async with parts.database.writing(tenant) as writing:
        old = await _hold(writing, key_id)
        if not old["good"]:
            raise HTTPException(409, f"The key {key_id} expired or was revoked: make a new one.")
        life = old["expires_at"] and old["expires_at"] - old["created_at"]
        key, facts = await _make(writing, old["scopes"], life)
        grace = timedelta(hours=asked.grace_hours)
        (replaced,) = await writing.rows("expire_tenant_key", old["hash"], grace)
    response.headers["Cache-Control"] = "no-store"
    return RotatedKey(key=key, replaces=Key(**_facts(replaced)), **facts)


@router.delete("/{key_id}", summary="Revoke a key", responses=described(404))
async def revoke_key(parts: Wired, tenant: AdminTenant, key_id: KeyId) -> Key:
    """Revoke a key: processes refuse it within seconds. Twice is as good as once.

    Nothing keeps you from revoking the key that you ask with.
    """
    async with parts.database.writing(tenant) as writing:
        held = await _hold(writing, key_id)
        (row,) = await writing.rows("revoke_tenant_key", held["hash"])
    return Key(**_facts(row))


async def _make(
    writing: Reading, scopes: list[Scope], life: timedelta | None
) -> tuple[str, dict[str, Any]]:
    key = new_key()
    rows = await writing.rows("add_tenant_key", key_hash(key), sorted(set(scopes)), life, MOST)
    if not rows:
        raise HTTPException(409, f"There are {MOST} good keys: revoke some first.")
    return key, _facts(rows[0])


async def _hold(writing: Reading, key_id: str) -> Any:
    rows = await writing.rows("hold_tenant_keys", key_id)
    if len(rows) != 1:
        raise HTTPException(404, f"You have no key {key_id}, or several: GET /api/v1/keys")
    return rows[0]


def _facts(row: Any) -> dict[str, Any]:
    shown = {name: row[name] for name in Key.model_fields if name != "id"}
    return {"id": row["hash"][:ID_DIGITS], **shown}
