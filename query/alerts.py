"""Routes of alerts: what is wrong, since when, who takes care of it, and what was."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from query import cursors
from query.alert_answers import Alert, Change, alert_of, change_of
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Reading, Rows
from query.matchers import matching
from query.parameters import NO_LABELS, CursorText, Matchers, Moment
from query.parts import Wired
from schemas.definitions import Storable
from schemas.errors import Invalid
from schemas.matchers import parse
from schemas.notifications import told_labels, which_match
from schemas.problems import described
from schemas.rules import Level, RuleName
from schemas.transitions import State

MOST = 1_000
"""Alerts or changes on one page."""
HISTORY = 100
"""Changes that are shown with an alert; there is a route for the others."""

_SCANNED = 10_000
"""Alerts that matchers are tried on for one page; what they leave may be less than a page."""
_OF_ALL = {"alertname", "severity"}
"""Labels that matchers see and that are not stored with the others."""


class AlertPage(Answer):
    """Alerts by their newest change, the newest first."""

    alerts: list[Alert]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class AlertWithHistory(Alert):
    """An alert and how it came to be so."""

    history: list[Change] = Field(
        description=f"its newest {HISTORY} changes, the newest first; all: /api/v1/alert-history"
    )


class ChangePage(Answer):
    """Changes of alerts, the newest first."""

    changes: list[Change]
    next_cursor: str | None = Field(description="of the page with older ones; null on the last")


class NewAcknowledgement(BaseModel):
    """Who takes care of an alert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: Annotated[Storable, Field(min_length=1, max_length=256, examples=["eve"])]
    comment: Annotated[Storable, Field(max_length=4096)] | None = None


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    at: cursors.Moment
    id: str


Limit = Annotated[int, Query(ge=1, le=MOST, description="Most of them in the answer.")]
States = Annotated[
    list[State] | None,
    Query(
        alias="state",
        max_length=4,
        description="Only in this state; repeat the parameter for more. Default: in any.",
    ),
]
OfRule = Annotated[RuleName | None, Query(description="Only of this rule.")]
AlertId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
_InPath = Annotated[AlertId, Path(description="The alert's id.")]

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=described(401, 403, 422, 503, 504))


@dataclass(frozen=True)
class Wanted:
    """Which alerts are asked for."""

    states: Sequence[str] | None = None
    rule: str | None = None
    level: Level | None = None
    since: datetime | None = None
    match: tuple[str, ...] = ()


@router.get("/alerts", summary="Alerts, the newest change first")
async def list_alerts(
    *,
    parts: Wired,
    tenant: Tenant,
    state: States = None,
    rule: OfRule = None,
    level: Annotated[Level | None, Query(description="Only of this level.")] = None,
    match: Matchers = NO_LABELS,
    since: Annotated[Moment | None, Query(description="Only changed from then on.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> AlertPage:
    """Page through alerts.

    Matchers see their labels, `alertname` (the rule) and `severity` (the level, unless there is a label of
    that name). A page may hold fewer than `limit` and still have one that follows.
    """
    wanted = Wanted(state, rule, level, since, tuple(match))
    after = cursors.after(cursor, _Position, *_key(wanted))
    async with parts.database.reading(tenant) as reading:
        rows, last = await _find(reading, wanted, after, limit)
        alerts = await _alerts(reading, rows, parts.clock())
    return AlertPage(alerts=alerts, next_cursor=cursors.following(last, *_key(wanted)))


@router.get("/alerts/{alert_id}", summary="One alert", responses=described(404))
async def get_alert(parts: Wired, tenant: Tenant, alert_id: _InPath) -> AlertWithHistory:
    """Show an alert and its newest changes."""
    async with parts.database.reading(tenant) as reading:
        try:
            return await find(reading, alert_id, parts.clock())
        except NoAlert as error:
            raise HTTPException(404, str(error)) from error


@router.post(
    "/alerts/{alert_id}/acknowledge",
    summary="Take care of an alert",
    responses=described(400, 404, 409, 413),
)
async def acknowledge_alert(
    parts: Wired, tenant: AdminTenant, alert_id: _InPath, by: NewAcknowledgement
) -> Alert:
    """Say that somebody takes care: receivers are not reminded of it any more, until it gets worse or ends.

    Of this episode; when the alert comes back, it is nobody's. Twice is as good as once.
    """
    async with parts.database.writing(tenant) as writing:
        try:
            return await acknowledge(writing, alert_id, by, parts.clock())
        except NoAlert as error:
            raise HTTPException(404, str(error)) from error
        except Over as error:
            raise HTTPException(409, str(error)) from error


@router.get("/alert-history", summary="Changes of alerts, the newest first")
async def list_changes(
    *,
    parts: Wired,
    tenant: Tenant,
    alert: Annotated[AlertId | None, Query(description="Only of this alert, by its id.")] = None,
    rule: OfRule = None,
    state: States = None,
    start: Annotated[Moment | None, Query(description="Only from then on.")] = None,
    end: Annotated[Moment | None, Query(description="Only before.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> ChangePage:
    """Page through what happened to alerts, each change once."""
    request = (alert, rule, state, start, end)
    after = cursors.after(cursor, _Position, *request)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows(
            "alert_history", *request, after and after.at, after and after.id, limit + 1
        )
    changes = [change_of(row) for row in rows[:limit]]
    last = _Position(changes[-1].at, changes[-1].id) if len(rows) > limit else None
    return ChangePage(changes=changes, next_cursor=cursors.following(last, *request))


class NoAlert(Invalid):
    """There is no such alert of this tenant."""

    def __init__(self, alert: str) -> None:
        super().__init__("no_alert", f"You have no alert {alert}.")


class Over(Invalid):
    """The alert is over: there is nothing to take care of."""

    def __init__(self, alert: str, state: str) -> None:
        super().__init__("over", f"Alert {alert} is {state}.")


async def some(reading: Reading, wanted: Wanted, most: int, now: datetime) -> list[Alert]:
    """The newest alerts that are asked for."""
    rows, _ = await _find(reading, wanted, None, most)
    return await _alerts(reading, rows, now)


async def named(reading: Reading, begins: str) -> str:
    """The id of the only alert whose id begins so. Raises NoAlert, and Invalid when there are several."""
    rows = await reading.rows("named_alerts", begins)
    if len(rows) > 1:
        raise Invalid("ambiguous", f"Several alerts begin with {begins}: give more of the id.")
    if not rows:
        raise NoAlert(begins)
    found: str = rows[0]["alert_id"]
    return found


async def find(reading: Reading, alert: str, now: datetime) -> AlertWithHistory:
    """An alert. Raises NoAlert."""
    rows = await reading.rows("get_alert", alert)
    if not rows:
        raise NoAlert(alert)
    (found,) = await _alerts(reading, rows, now)
    changes = await reading.rows(
        "alert_history", alert, None, None, None, None, None, None, HISTORY
    )
    return AlertWithHistory(**dict(found), history=[change_of(row) for row in changes])


async def acknowledge(writing: Reading, alert: str, by: NewAcknowledgement, now: datetime) -> Alert:
    """Note who takes care of an alert. Raises NoAlert and Over."""
    rows = await writing.rows("acknowledge_alert", alert, by.author, by.comment)
    if not rows:
        found = await writing.rows("get_alert", alert)
        raise Over(alert, found[0]["state"]) if found else NoAlert(alert)
    return (await _alerts(writing, rows, now))[0]


async def _find(
    reading: Reading, wanted: Wanted, after: _Position | None, limit: int
) -> tuple[list[Any], _Position | None]:
    """Rows of a page, and where it ends if there may be more."""
    asked = [parse(text) for text in wanted.match]
    equal = {one.key: one.value for one in asked if one.is_equality and one.key not in _OF_ALL}
    rest = [one for one in asked if equal.get(one.key) != one.value or one.operator != "="]
    labels = json.dumps(equal) if equal else None
    found: list[Any] = []
    for _ in range(-(-_SCANNED // MOST)):
        rows = await reading.rows(
            "list_alerts",
            wanted.states,
            wanted.rule,
            wanted.level,
            wanted.since,
            labels,
            after and after.at,
            after and after.id,
            MOST if rest else limit + 1,
        )
        fits = matching(rest, [_labels(row) for row in rows])
        for row, fit in zip(rows, fits, strict=True):
            if len(found) == limit and fit:
                return found, _place(found[-1])
            if fit:
                found.append(row)
        if not rest or len(rows) < MOST:
            return found, None
        after = _place(rows[-1])
    return found, after


def _key(wanted: Wanted) -> tuple[object, ...]:
    """What a cursor is bound to."""
    return wanted.states, wanted.rule, wanted.level, wanted.since, sorted(wanted.match)


def _place(row: Any) -> _Position:
    return _Position(row["since"], row["alert_id"])


def _labels(row: Any) -> dict[str, str]:
    return told_labels(row["rule"], row["level"], json.loads(row["labels"]))


async def _alerts(reading: Reading, rows: Rows, now: datetime) -> list[Alert]:
    """Alerts of their rows, with the silences that hush them."""
    silences = await reading.rows("silences_on", now) if rows else []
    hushed = await asyncio.to_thread(_hushed, [_labels(row) for row in rows], silences)
    return [alert_of(row, by) for row, by in zip(rows, hushed, strict=True)]


def _hushed(labels: Sequence[dict[str, str]], silences: Rows) -> list[list[UUID]]:
    found: list[list[UUID]] = [[] for _ in labels]
    for silence in silences:
        fits = which_match(silence["matchers"], labels)
        for one, fit in zip(found, fits, strict=True):
            if fit:
                one.append(silence["silence_id"])
    return found
