"""Routes of pauses: times in which nothing of a tenant's is remedied, from now on or planned ahead."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, model_validator

from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.parameters import Moment
from query.parts import Wired
from schemas.definitions import Storable
from schemas.problems import described

MOST = 100
"""Pauses of one tenant."""


class Pause(Answer):
    """A time in which nothing is begun; what is on stops before its next step."""

    begins_at: datetime
    ends_at: datetime | None = Field(description="null: until it is resumed")
    actor: str
    reason: str


class Pauses(Answer):
    """Pauses that are on, or will be; those that operators made for all tenants are not among them."""

    pauses: list[Pause]


class NewPause(BaseModel):
    """When nothing is to be done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    begins_at: Moment | None = Field(default=None, description="Default: now.")
    ends_at: Moment | None = Field(default=None, description="Default: when it is resumed.")
    actor: Annotated[Storable, Field(min_length=1, max_length=200, pattern=r"\S", examples=["ana"])]
    reason: Annotated[Storable, Field(max_length=1000)] = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.begins_at and self.ends_at and self.ends_at <= self.begins_at:
            raise ValueError("ends_at must be after begins_at")
        return self


router = APIRouter(
    prefix="/api/v1/remediation-pauses",
    tags=["remediation"],
    responses=described(401, 403, 422, 503, 504),
)


@router.get("", summary="When nothing is remedied")
async def list_pauses(parts: Wired, tenant: Tenant) -> Pauses:
    """Show the tenant's pauses."""
    async with parts.database.reading(tenant) as reading:
        return Pauses(pauses=[Pause(**row) for row in await reading.rows("list_pauses", MOST)])


@router.post("", status_code=201, summary="Pause", responses=described(400, 409, 413))
async def pause(parts: Wired, tenant: AdminTenant, asked: NewPause) -> Pause:
    """Begin nothing from now on, or in a time to come: an emergency stop, or a maintenance window."""
    async with parts.database.writing(tenant) as writing:
        rows = await writing.rows(
            "add_pause", asked.begins_at, asked.ends_at, asked.actor, asked.reason, MOST
        )
    if not rows:
        raise HTTPException(409, f"It would have ended, or there are {MOST} pauses: resume first.")
    return Pause(**rows[0])


@router.delete("", summary="Resume")
async def resume(parts: Wired, tenant: AdminTenant) -> Pauses:
    """End all pauses of the tenant, those to come as well. What was stopped stays stopped."""
    async with parts.database.writing(tenant) as writing:
        return Pauses(pauses=[Pause(**row) for row in await writing.rows("resume")])
