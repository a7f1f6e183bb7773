"""A playbook's steps in a row, with those of the playbooks that it includes. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import Invalid
from schemas.playbooks import (
    MOST_STEPS,
    Doing,
    Include,
    Playbook,
    Step,
    Undoing,
    When,
    Window,
)

DEEPEST = 5
"""Playbooks within each other."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class FlatStep(BaseModel):
    """A step in a row; its id is the path to it (`restart/drain`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    whens: tuple[When, ...] = Field(description="all must hold; their steps are ids of this row")
    do: Doing
    undo: Undoing | None = None
    goes_on: bool = False


def flatten(playbook: Playbook, others: Mapping[str, Playbook]) -> list[FlatStep]:
    """The steps of a playbook. Raises Invalid for an include that is missing, cyclic or too much."""
    steps = _steps(playbook, others, (playbook.name,), "", ())
    if len(steps) > MOST_STEPS:
        raise Invalid(
            "bad_playbook",
            f"{playbook.name} has {len(steps)} steps with those that it includes: the limit is {MOST_STEPS}.",
        )
    return steps


def check_all(playbooks: Mapping[str, Playbook]) -> None:
    """Raise Invalid unless each can be flattened with the others there."""
    for playbook in playbooks.values():
        flatten(playbook, playbooks)


def windows(playbook: Playbook, others: Mapping[str, Playbook]) -> list[Window]:
    """Maintenance windows of a playbook that can be flattened, and of all that it includes."""
    found = list(playbook.not_during)
    for step in playbook.steps:
        if isinstance(step.do, Include):
            found += windows(others[step.do.playbook], others)
    return found


def within(window: Window, now: datetime) -> bool:
    """Whether a moment, aware and in UTC, is in a window. One that ends when it begins lasts a day."""
    begin, end = (
        timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (window.begin, window.end)
    )
    length = end - begin if end > begin else end - begin + timedelta(days=1)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return any(
        _DAYS[day.weekday()] in window.days and day + begin <= now < day + begin + length
        for day in (today - timedelta(days=1), today)
    )


def _steps(
    playbook: Playbook,
    others: Mapping[str, Playbook],
    path: tuple[str, ...],
    prefix: str,
    whens: tuple[When, ...],
) -> list[FlatStep]:
    found: list[FlatStep] = []
    for step in playbook.steps:
        own = (*whens, *_when(step, prefix))
        if not isinstance(step.do, Include):
            found.append(
                FlatStep(
                    id=prefix + step.id,
                    whens=own,
                    do=step.do,
                    undo=step.undo,
                    goes_on=step.on_failure == "continue",
                )
            )
            continue
        name = step.do.playbook
        route = " → ".join((*path, name))
        if name in path:
            raise Invalid("cyclic_playbook", f"Playbooks include each other without end: {route}.")
        if name not in others:
            raise Invalid("unknown_playbook", f"There is no playbook {name!r}: {route}.")
        if len(path) >= DEEPEST:
            raise Invalid(
                "bad_playbook", f"More than {DEEPEST} playbooks within each other: {route}."
            )
        found += _steps(others[name], others, (*path, name), f"{prefix}{step.id}/", own)
        if len(found) > 20 * MOST_STEPS:  # wide and deep at once: enough is known
            break
    return found


def _when(step: Step, prefix: str) -> tuple[When, ...]:
    when = step.when
    if when == When():
        return ()
    if when.step is None:
        return (when,)
    return (when.model_copy(update={"step": prefix + when.step}),)
