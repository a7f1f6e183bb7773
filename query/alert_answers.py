"""What is said of alerts, their changes and silences."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from query.answers import Answer
from schemas.rules import Level
from schemas.transitions import State


class Acknowledgement(Answer):
    """Who takes care of an alert."""

    author: str = Field(examples=["eve"])
    comment: str | None
    at: datetime


class Alert(Answer):
    """An alert, as its newest change leaves it."""

    id: str = Field(examples=["1f0c9a3e5b7d2468ace013579bdf2468"])
    rule: str = Field(examples=["items-slow"])
    fingerprint: str
    labels: dict[str, str] = Field(examples=[{"host": "server-1"}])
    state: State
    level: Level
    value: float | None = Field(description="at the newest change; null for absence")
    threshold: float | None
    condition: str = Field(examples=["p95(http_req_duration) over 30s > 500"])
    annotations: dict[str, str]
    episode: datetime = Field(description="when the condition began to hold")
    since: datetime = Field(description="of the newest change")
    fired_at: datetime | None
    resolved_at: datetime | None
    stale: bool = Field(description="the newest change was found out long after it happened")
    acknowledged: Acknowledgement | None = Field(description="for this episode")
    silenced_by: list[UUID] = Field(description="silences that are on and match it")
    updated_at: datetime


class Change(Answer):
    """An alert went from one state to another, or from one level to another while it fires."""

    id: str
    alert: str = Field(description="the alert's id")
    rule: str
    labels: dict[str, str]
    at: datetime
    was: State
    state: State
    was_level: Level | None
    level: Level
    value: float | None
    threshold: float | None
    episode: datetime
    number: int = Field(description="within the episode")
    rule_version: int
    stale: bool
    recorded_at: datetime


SilenceState = Literal["pending", "active", "expired"]


class Silence(Answer):
    """While it is active, nobody is told of alerts that all its matchers match."""

    id: UUID
    state: SilenceState
    matchers: list[str] = Field(examples=[["host=~web.*", "severity=warning"]])
    starts_at: datetime
    expires_at: datetime
    author: str
    comment: str
    version: int = Field(description="counts its changes")
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Names this version. Time changes the state, so that is a part of it."""
        return f'"{self.version}-{self.state}-{self.id.hex[:12]}"'


def alert_of(row: Mapping[str, Any], silenced_by: Iterable[UUID]) -> Alert:
    """An alert of its row."""
    facts = dict(row)
    at, author = facts.pop("acknowledged_at"), facts.pop("acknowledged_by")
    comment = facts.pop("acknowledgement")
    facts["id"] = facts.pop("alert_id")
    facts["labels"] = json.loads(facts["labels"])
    facts["annotations"] = json.loads(facts["annotations"])
    return Alert(
        **facts,
        acknowledged=Acknowledgement(author=author, comment=comment, at=at) if at else None,
        silenced_by=list(silenced_by),
    )


def change_of(row: Mapping[str, Any]) -> Change:
    """A change of its row."""
    facts = dict(row)
    return Change(
        id=facts.pop("transition_id"),
        alert=facts.pop("alert_id"),
        labels=json.loads(facts.pop("labels")),
        **facts,
    )


def silence_of(row: Mapping[str, Any], now: datetime) -> Silence:
    """A silence of its row."""
    facts = dict(row)
    state: SilenceState = "pending" if facts["starts_at"] > now else "active"
    if facts["expires_at"] <= now:
        state = "expired"
    return Silence(id=facts.pop("silence_id"), state=state, **facts)
