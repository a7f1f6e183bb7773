"""What the remediation workflow is given, what it keeps, and what its activities answer.

All of it is stored in histories: no secret, and of the alert's texts only what the incident began with.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sinks.remediation_trail import Kind
from sinks.remediations import State

ESCALATION = "(escalation)"
"""Id of the step that tells whoever the playbook says, when the others did not help."""
ESCALATION_ATTEMPTS = 10

Came = Literal["succeeded", "failed", "skipped", "stopped"]


@dataclass(frozen=True)
class Change:
    """The alert fires or has resolved, in an episode. `transition` is JSON data; empty when it resolves."""

    episode: str
    firing: bool
    transition: dict[str, Any] = field(default_factory=dict)

    @property
    def level(self) -> str | None:
        """How bad it was then; None when it resolves."""
        return self.transition.get("level")


@dataclass(frozen=True)
class Leveled:
    """A firing alert is at another level; of an episode the transition with the highest number counts."""

    episode: str
    number: int
    level: str


@dataclass(frozen=True)
class StepPlan:
    """What the workflow needs to know of a step. `seconds`: of one attempt, or that it waits."""

    id: str
    action: str
    seconds: float
    attempts: int = 1
    goes_on: bool = False
    undo_seconds: float | None = None
    undo_attempts: int = 1
    after: list[tuple[str, str]] = field(default_factory=list)
    """Steps, and what must have come of them."""
    skipped: bool = False
    """The alert's level or labels rule it out."""


@dataclass
class Remedy:
    """A remediation in hand, and how far it is; carried along when the workflow continues as new."""

    remediation_id: UUID
    episode: str
    state: State
    steps: list[StepPlan] = field(default_factory=list)
    expires_at: datetime | None = None
    verify_seconds: float = 0.0
    verify_until: datetime | None = None
    cancel_on_resolve: bool = True
    escalates: bool = False
    next: int = 0
    outcomes: dict[str, str] = field(default_factory=dict)


@dataclass
class Alert:
    """The input: which alert, and what is carried along when the workflow continues as new."""

    tenant_id: UUID
    rule: str
    fingerprint: str
    waiting: list[Change] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    """Episodes that are over."""
    remedy: Remedy | None = None
    leveled: Leveled | None = None
    """The newest change of level."""


@dataclass(frozen=True)
class Opening:
    """What `open` is asked."""

    change: Change
    owner: str
    resolved: bool


@dataclass(frozen=True)
class StepTask:
    """What `run_step` is asked: which step of which remediation."""

    remediation_id: UUID
    kind: Kind
    step: str
    owner: str


@dataclass(frozen=True)
class StepResult:
    """What came of one attempt at a step; `again`: it failed in a way that may pass, and may be repeated."""

    came: Came
    told: str = ""
    again: bool = False


@dataclass(frozen=True)
class Note:
    """A step that needed no attempt."""

    task: StepTask
    action: str
    status: Literal["skipped", "succeeded"]
    told: str


@dataclass(frozen=True)
class Decision:
    """What an approver says of a remediation."""

    remediation_id: UUID
    approved: bool
    who: str
    why: str = ""


@dataclass(frozen=True)
class End:
    """How a remediation ends; `only_from`: only if it is in one of these states."""

    remediation_id: UUID
    state: State
    reason: str
    only_from: list[State] | None = None


@dataclass(frozen=True)
class Question:
    """What `ask` is asked: whether the alert of a remediation cleared."""

    remediation_id: UUID


@dataclass(frozen=True)
class Answer:
    """Whether it did, and what there was to be seen."""

    cleared: bool
    told: str


@dataclass(frozen=True)
class Progress:
    """What the query `progress` tells."""

    remediation_id: UUID | None
    state: State | None
    step: str | None
    waiting: int
