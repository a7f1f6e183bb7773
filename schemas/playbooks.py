"""Playbooks: what is done about an alert, step by step, as people write it."""

from datetime import time, timedelta
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from schemas.definitions import Storable
from schemas.durations import Duration
from schemas.playbook_texts import Body, Headers, Text, Url
from schemas.rules import LabelName, Level, RuleName

MOST_STEPS = 50
LONGEST_STEP = timedelta(hours=1)

Outcome = Literal["succeeded", "failed", "skipped"]
Kind = Literal["deployment", "statefulset", "daemonset"]


def _minutes(text: str) -> str:
    time.fromisoformat(text)
    return text


_Pause = Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=1))]
_Clock = Annotated[
    str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$", examples=["22:00"]), AfterValidator(_minutes)
]


# Lists of JSON are tuples here, and strict validation of Python data would not take the one for the other.
_Levels = Annotated[tuple[Level, ...], Field(strict=False, min_length=1)]
_Values = Annotated[
    tuple[Annotated[Storable, Field(max_length=1024)], ...],
    Field(strict=False, min_length=1, max_length=100),
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Action(_Strict):
    timeout: Annotated[Duration, Field(gt=timedelta(0), le=LONGEST_STEP)] = Field(
        default=timedelta(seconds=30), description="How long one attempt may take."
    )
    retries: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Attempts after the first, when it failed in a way that may pass, or nobody knows how "
        "it ended because the worker died. 0: it is begun once, whatever happens.",
    )


class Http(_Action):
    """Ask an HTTP server."""

    action: Literal["http"]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: Url
    headers: Headers = Field(default_factory=dict)
    body: Body = Field(default=None, description="A text, or data that is sent as JSON.")
    expect: tuple[Annotated[int, Field(ge=200, le=599)], ...] = Field(
        default=(),
        strict=False,
        max_length=20,
        description="Statuses that are a success; none: 200 to 299.",
    )


class Command(_Action):
    """Run a command of the worker's list. Its argument vector is the operator's; no shell is involved."""

    action: Literal["command"]
    command: RuleName
    parameters: dict[LabelName, Text] = Field(default_factory=dict, max_length=20)


class Kubernetes(_Action):
    """Restart or scale a workload, through the API of a cluster of the worker's list."""

    action: Literal["kubernetes"]
    cluster: RuleName
    operation: Literal["restart", "scale"]
    kind: Kind = "deployment"
    namespace: Text
    name: Text
    replicas: Annotated[int, Field(ge=0, le=10_000)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.operation == "scale") != (self.replicas is not None):
            raise ValueError("replicas belongs to scale, and scale needs it")
        if self.operation == "scale" and self.kind == "daemonset":
            raise ValueError("a daemonset has no replicas: it can be restarted only")
        return self


class Sql(_Action):
    """Run a statement of the worker's list, with bound parameters."""

    action: Literal["sql"]
    statement: RuleName
    parameters: dict[LabelName, Text] = Field(default_factory=dict, max_length=20)


class Wait(_Action):
    """Wait, and hold no worker meanwhile."""

    action: Literal["wait"]
    duration: _Pause


class _Telling(_Strict):
    url: Url | None = Field(
        default=None,
        description="A JSON document about the alert and what is done is POSTed to it, with `text` in it.",
    )
    headers: Headers = Field(default_factory=dict, description="Of the request to the URL.")
    receiver: RuleName | None = Field(
        default=None,
        description="Or a receiver of the tenant's notifications: it is told in its own form, with `text` as summary.",
        examples=["ops"],
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.receiver is None):
            raise ValueError("needs a url or a receiver, and not both")
        if self.headers and self.url is None:
            raise ValueError("headers belong to a url: a receiver has its own")
        return self


class Notify(_Action, _Telling):
    """Tell somebody, by URL or as a receiver of the tenant's notifications."""

    action: Literal["notify"]
    text: Text


class Include(_Strict):
    """Do the steps of another playbook."""

    action: Literal["playbook"]
    playbook: RuleName


Doing: TypeAlias = Annotated[
    Http | Command | Kubernetes | Sql | Wait | Notify, Field(discriminator="action")
]
Undoing: TypeAlias = Annotated[
    Http | Command | Kubernetes | Sql | Notify, Field(discriminator="action")
]


class When(_Strict):
    """When a step is done; all that is given must hold. Else it is skipped."""

    levels: _Levels | None = None
    labels: dict[LabelName, _Values] = Field(
        default_factory=dict,
        max_length=20,
        description="For each label the values that it may have.",
        examples=[{"env": ["staging", "production"]}],
    )
    step: RuleName | None = Field(default=None, description="An earlier step of this playbook, …")
    was: Outcome | None = Field(default=None, description="… and what must have come of it.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.step is None) != (self.was is None):
            raise ValueError("step and was go together")
        return self


class Step(_Strict):
    """One thing to do."""

    id: RuleName
    when: When = Field(default_factory=When)
    do: Annotated[
        Http | Command | Kubernetes | Sql | Wait | Notify | Include, Field(discriminator="action")
    ]
    undo: Undoing | None = Field(
        default=None,
        description="Compensation: done when this step has succeeded and a later one fails; the last step's first.",
    )
    on_failure: Literal["stop", "continue"] = "stop"


class Window(_Strict):
    """A stretch of the week, in UTC, in which nothing is started. It may go past midnight."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        strict=False,
        min_length=1,
        description="Days on which it begins.",
    )
    begin: _Clock
    end: _Clock


class Escalation(_Telling):
    """Whom to tell when remediation did not help: as `notify`."""

    text: Text = "{{ rule }} is not remedied: {{ condition }}"


class Playbook(_Strict):
    """What is done about an alert."""

    format: Literal[1] = Field(default=1, description="Of this document.")
    name: RuleName = Field(examples=["items-restart"])
    description: Annotated[Storable, Field(max_length=4096)] = ""
    steps: tuple[Step, ...] = Field(strict=False, min_length=1, max_length=MOST_STEPS)
    cancel_on_resolve: bool = Field(
        default=True,
        description="Whether steps that are left are not done once the alert resolves.",
    )
    not_during: tuple[Window, ...] = Field(
        default=(),
        strict=False,
        max_length=50,
        description="Maintenance windows: nothing is started in them.",
    )
    escalate: Escalation | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known: dict[str, Step] = {}
        for step in self.steps:
            if step.id in known:
                raise ValueError(f"has two steps {step.id!r}")
            self._check_reference(step, known)
            if isinstance(step.do, Include):
                self._check_include(step, step.do)
            known[step.id] = step
        return self

    def _check_reference(self, step: Step, known: dict[str, Step]) -> None:
        wanted = step.when.step
        if wanted is None:
            return
        if wanted not in known:
            there = any(other.id == wanted for other in self.steps)
            raise ValueError(
                f"step {step.id!r} depends on {wanted!r}, "
                + ("which is not before it: steps never loop" if there else "which is no step here")
            )
        if known[wanted].do.action == "playbook":
            raise ValueError(f"step {step.id!r} depends on {wanted!r}, which is a whole playbook")

    def _check_include(self, step: Step, include: Include) -> None:
        if include.playbook == self.name:
            raise ValueError(f"step {step.id!r} includes the playbook itself")
        if step.undo is not None or step.on_failure != "stop":
            raise ValueError(
                f"step {step.id!r}: undo and on_failure belong to its playbook's steps"
            )


def receivers_of(playbook: Playbook) -> set[str]:
    """Names of the receivers that it tells."""
    telling = [
        playbook.escalate,
        *(doing for step in playbook.steps for doing in (step.do, step.undo)),
    ]
    return {
        one.receiver for one in telling if isinstance(one, Notify | Escalation) and one.receiver
    }


def plain(playbook: Playbook) -> dict[str, Any]:
    """The playbook as JSON data, without what was left out."""
    return playbook.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
