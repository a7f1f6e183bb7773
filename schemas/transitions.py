"""Alert transitions: what `alerts.transitions.v1` says about an alert, as JSON.

The record's key is `tenant/rule/fingerprint` (see `Transition.key`): an alert's transitions are in order.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.rules import Level, Remediation, RuleName

State = Literal["inactive", "pending", "firing", "resolved"]


class Transition(BaseModel):
    """An alert went from one state to another, or from one level to another while it fires.

    `id` is the same however often the same change is found out: after a crash, by a second process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    tenant_id: UUID
    rule: RuleName
    rule_version: int = Field(
        ge=0, lt=1 << 63, description="of the rule, as the database counts it"
    )
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    labels: dict[str, str] = Field(
        description="of the alert: its series' or group's, and the rule's"
    )
    was: State
    state: State
    was_level: Level | None = None
    level: Level = Field(description="absence is critical")
    episode: AwareDatetime = Field(
        description="event time at which the condition began to hold: with rule and fingerprint it "
        "names the incident, from pending to resolved"
    )
    number: int = Field(
        ge=1, lt=1 << 31, description="of this change within the episode: 1, 2, 3, …"
    )
    at: AwareDatetime = Field(description="event time of this change")
    value: float | None = Field(description="None for absence")
    threshold: float | None
    condition: str = Field(description="the rule in words: p95(http_req_duration) over 30s > 500")
    annotations: dict[str, str]
    remediation: Remediation | None = None
    stale: bool = Field(
        default=False,
        description="found out so long after it happened that nobody should act on it by itself",
    )

    @property
    def key(self) -> str:
        """Of the record in Kafka."""
        return f"{self.tenant_id}/{self.rule}/{self.fingerprint}"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Names an alert within its rule."""
    text = json.dumps(sorted(labels.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def alert_id(tenant_id: UUID, rule: str, mark: str) -> str:
    """Names an alert among all: that of a rule with fingerprint `mark`."""
    return hashlib.blake2b(f"{tenant_id}/{rule}/{mark}".encode(), digest_size=16).hexdigest()


def transition_id(
    tenant_id: UUID, rule: str, mark: str, episode: AwareDatetime, number: int
) -> str:
    """Names a change: the `number`th of an episode of the alert with fingerprint `mark`."""
    text = f"{tenant_id}/{rule}/{mark}/{episode.isoformat()}/{number}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
