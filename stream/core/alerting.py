"""An alert's next state: from what it was and what the rule finds now, with Prometheus' meaning.

An alert that is inactive is none. Slots are half seconds of event time.
"""

import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple

from schemas.rules import Level, Rule
from schemas.transitions import State

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


ABSENCE: Level = "critical"


class Alert(NamedTuple):
    """What an alert is in."""

    state: State
    """pending or firing."""
    level: Level
    since: int
    """Slot at which the condition began to hold."""
    good: int | None = None
    """Slot since which it holds no longer, while `keep_firing_for` runs."""


class Step(NamedTuple):
    """What an evaluation made of an alert."""

    alert: Alert | None
    state: State | None = None
    """What it is now; None where that is no transition."""


def level_of(rule: Rule, value: float | None, *, firing: bool) -> Level | None:
    """How bad a value is; None for good. One that fires is good only beyond `clear`."""
    if value is None or rule.operator is None:
        return None
    beyond = _COMPARE[rule.operator]
    if rule.critical is not None and beyond(value, rule.critical):
        return "critical"
    if rule.warning is not None and beyond(value, rule.warning):
        return "warning"
    if firing and rule.clear is not None and beyond(value, rule.clear):
        return lowest(rule)
    return None


def lowest(rule: Rule) -> Level:
    """The rule's first level."""
    return "critical" if rule.warning is None else "warning"


def step(rule: Rule, alert: Alert | None, level: Level | None, slot: int) -> Step:
    """The alert after an evaluation that found this level, or none."""
    wait, keep = (int(time.total_seconds() * 2) for time in (rule.wait, rule.keep_firing_for))
    if alert is None:
        state: State = "pending" if wait else "firing"
        return Step(None) if level is None else Step(Alert(state, level, slot), state)
    if level is not None:
        fires = alert.state == "firing" or slot - alert.since >= wait
        now = Alert("firing", level, alert.since) if fires else alert
        return Step(now, "firing" if fires and now[:2] != alert[:2] else None)
    if alert.state == "pending":
        return Step(None, "inactive")
    good = slot if alert.good is None else alert.good
    if slot - good >= keep:
        return Step(None, "resolved")
    return Step(alert._replace(good=good))
