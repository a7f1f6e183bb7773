"""Routes of silences: of which alerts nobody is told for a while, who wants that and why."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from query import cursors, preconditions
from query.alert_answers import Silence, SilenceState, silence_of
from query.alerts import Limit
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Reading
from query.parameters import CursorText, Moment
from query.parts import Wired
from query.preconditions import IfMatch
from schemas.definitions import Storable
from schemas.errors import Invalid
from schemas.notifications import MatcherTexts
from schemas.problems import described

MOST = 500
"""Silences of one tenant that have not expired: each is tried on each alert that somebody is told of."""

_PATH = "/api/v1/silences"


class NewSilence(BaseModel):
    """A silence as it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    matchers: MatcherTexts = Field(
        description="All must match an alert's labels, alertname (its rule) and severity (its level).",
        examples=[["alertname=items-slow", "host=~web.*"]],
    )
    starts_at: Moment | None = Field(default=None, description="Default: now.")
    expires_at: Moment
    author: Annotated[Storable, Field(min_length=1, max_length=256, examples=["eve"])]
    comment: Annotated[Storable, Field(max_length=4096)] = ""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.starts_at is not None and self.starts_at >= self.expires_at:
            raise ValueError("must start before it expires")
        return self


class SilencePage(Answer):
    """Silences, those that last longest first."""

    silences: list[Silence]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    expires_at: cursors.Moment
    id: UUID


_Id = Annotated[UUID, Path(description="The silence's id.")]

router = APIRouter(prefix=_PATH, tags=["alerts"], responses=described(401, 403, 422, 503, 504))


@router.get("", summary="Silences, those that last longest first")
async def list_silences(
    *,
    parts: Wired,
    tenant: Tenant,
    state: Annotated[
        list[SilenceState] | None,
        Query(max_length=3, description="Only in this state; repeat it for more. Default: in any."),
    ] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> SilencePage:
    """Page through silences."""
    after = cursors.after(cursor, _Position, state)
    async with parts.database.reading(tenant) as reading:
        found = await some(reading, state, after, limit + 1, parts.clock())
    last = _Position(found[limit - 1].expires_at, found[limit - 1].id) if found[limit:] else None
    return SilencePage(silences=found[:limit], next_cursor=cursors.following(last, state))


@router.post(
    "",
    status_code=201,
    summary="Silence alerts",
    responses={**described(400, 409, 413), **preconditions.MADE},
)
async def create_silence(
    parts: Wired, tenant: AdminTenant, silence: NewSilence, response: Response
) -> Silence:
    """Silence alerts for a while.

    They still fire and resolve; of those that still fire at its end, receivers are told then.
    """
    try:
        async with parts.database.writing(tenant) as writing:
            made = await create(writing, silence, parts.clock())
    except TooMany as error:
        raise HTTPException(409, str(error)) from error
    preconditions.made(made.etag, f"{_PATH}/{made.id}", response)
    return made


@router.get(
    "/{silence_id}",
    summary="One silence",
    responses={**described(404), **preconditions.SHOWN},
)
async def get_silence(
    parts: Wired, tenant: Tenant, silence_id: _Id, request: Request, response: Response
) -> Silence:
    """Show a silence; its ETag is what a change must name."""
    async with parts.database.reading(tenant) as reading:
        found = await _get(reading, "get_silence", silence_id, parts.clock())
    preconditions.show(found.etag, request, response)
    return found


@router.put(
    "/{silence_id}",
    summary="Replace a silence",
    responses={**described(400, 404, 412, 413, 428), **preconditions.TAGGED},
)
async def replace_silence(
    *,
    parts: Wired,
    tenant: AdminTenant,
    silence_id: _Id,
    silence: NewSilence,
    response: Response,
    if_match: IfMatch = None,
) -> Silence:
    """Replace all of a silence: what the body leaves out gets its default."""
    named = preconditions.require(if_match)
    now = parts.clock()
    async with parts.database.writing(tenant) as writing:
        held = await _get(writing, "hold_silence", silence_id, now)
        preconditions.check(named, held.etag)
        (row,) = await writing.rows("replace_silence", silence_id, *_columns(silence, now))
    replaced = silence_of(row, now)
    response.headers["ETag"] = replaced.etag
    return replaced


@router.delete("/{silence_id}", summary="End a silence", responses=described(404))
async def expire_silence(parts: Wired, tenant: AdminTenant, silence_id: _Id) -> Silence:
    """End a silence now. It is still listed. Twice is as good as once."""
    async with parts.database.writing(tenant) as writing:
        try:
            return await expire(writing, silence_id, parts.clock())
        except NoSilence as error:
            raise HTTPException(404, str(error)) from error


class NoSilence(Invalid):
    """There is no such silence of this tenant."""

    def __init__(self, silence: UUID) -> None:
        super().__init__("no_silence", f"You have no silence {silence}.")


class TooMany(Invalid):
    """The tenant has as many silences as it may."""

    def __init__(self) -> None:
        super().__init__("too_many", f"There are {MOST} silences that have not expired: end some.")


async def some(
    reading: Reading,
    states: Sequence[SilenceState] | None,
    after: _Position | None,
    most: int,
    now: datetime,
) -> list[Silence]:
    """Silences in these states, those that last longest first."""
    rows = await reading.rows(
        "list_silences", now, states, after and after.expires_at, after and after.id, most
    )
    return [silence_of(row, now) for row in rows]


async def create(writing: Reading, silence: NewSilence, now: datetime) -> Silence:
    """Make a silence. Raises TooMany, and Invalid for one that is over before it starts."""
    rows = await writing.rows("create_silence", *_columns(silence, now), MOST, now)
    if not rows:
        raise TooMany
    return silence_of(rows[0], now)


async def expire(writing: Reading, silence: UUID, now: datetime) -> Silence:
    """End a silence. Raises NoSilence when there is none."""
    rows = await writing.rows("expire_silence", silence, now)
    rows = rows or await writing.rows("get_silence", silence)
    if not rows:
        raise NoSilence(silence)
    return silence_of(rows[0], now)


async def _get(reading: Reading, query: str, silence: UUID, now: datetime) -> Silence:
    rows = await reading.rows(query, silence)
    if not rows:
        raise HTTPException(404, f"You have no silence {silence}: GET {_PATH}")
    return silence_of(rows[0], now)


def _columns(silence: NewSilence, now: datetime) -> tuple[object, ...]:
    starts = silence.starts_at or now
    if silence.expires_at <= max(starts, now):
        raise Invalid("over", f"It would be over: expires_at must be after {max(starts, now)}.")
    return (list(silence.matchers), starts, silence.expires_at, silence.author, silence.comment)
