"""Tells what an evaluation changes: an alert's new state, and the transition that says so."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from schemas.rules import GRID, Level
from schemas.transitions import Transition, transition_id
from stream.core.alerting import Alert, step
from stream.core.states import AlertState
from stream.core.targets import Watcher
from stream.core.wording import annotations, condition, threshold_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Changes:
    """What is to be stored and published, all of it together."""

    transitions: list[Transition] = field(default_factory=list)
    states: dict[str, AlertState | None] = field(default_factory=dict)
    """By `Transition.key`; None: gone."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.states)


class Finding(NamedTuple):
    """What a rule finds of a target at the end of a slot."""

    mark: str
    """The target's fingerprint."""
    level: Level | None
    value: float | None
    slot: int
    stale: bool


def moment(slot: int) -> datetime:
    """The end of a slot."""
    return _EPOCH + slot * GRID


def after(watcher: Watcher, found: Finding) -> tuple[AlertState | None, Transition | None]:
    """The alert's state then, and the transition to it, if it is one."""
    state = watcher.alerts.get(found.mark)
    alert = None
    if state is not None:
        alert = Alert(state.last.state, state.last.level, state.since, state.good)
    result = step(watcher.rule, alert, found.level, found.slot)
    if result.state is None:
        if state is not None and result.alert is not None and result.alert.good != state.good:
            state = state.model_copy(update={"good": result.alert.good})
        return state, None
    shown = result.alert or alert
    if shown is None:
        raise AssertionError("a transition is from an alert or to one")
    rule, target = watcher.rule, watcher.targets[found.mark].labels
    labels = {**target, **rule.labels}
    number = 1 if state is None else state.last.number + 1
    episode = moment(shown.since)
    transition = Transition(
        id=transition_id(watcher.tenant_id, rule.name, found.mark, episode, number),
        tenant_id=watcher.tenant_id,
        rule=rule.name,
        rule_version=watcher.version,
        fingerprint=found.mark,
        labels=labels,
        was="inactive" if state is None else state.last.state,
        state=result.state,
        was_level=None if state is None else state.last.level,
        level=shown.level,
        episode=episode,
        number=number,
        at=moment(found.slot),
        value=found.value,
        threshold=threshold_of(rule, shown.level),
        condition=condition(rule, shown.level),
        annotations=annotations(rule, labels, found.value, shown.level),
        remediation=rule.remediation,
        stale=found.stale,
    )
    if result.alert is None:
        return None, transition
    kept = AlertState(
        last=transition,
        target=target,
        metric=rule.metric,
        group_by=rule.group_by,
        since=shown.since,
        good=shown.good,
    )
    return kept, transition


def ended(state: AlertState, slot: int, *, stale: bool) -> Transition:
    """The transition of an alert that its rule does not want any more."""
    last = state.last
    number = last.number + 1
    return last.model_copy(
        update={
            "id": transition_id(last.tenant_id, last.rule, last.fingerprint, last.episode, number),
            "was": last.state,
            "state": "resolved" if state.firing else "inactive",
            "was_level": last.level,
            "number": number,
            "at": moment(slot),
            "stale": stale,
        }
    )
