"""Decides what a group's receiver is told now, and when to look again. Pure; times are handed in.

- A change is told once it is there: an alert that fires anew, another level, the end of one that was told.
- What one that is silenced or inhibited would tell waits; its end does not, if its beginning was told.
- What has not changed is told again after the repeat interval, unless somebody acknowledged it.
- What ended before anybody was told of it is not told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.notifications import Grouping, Inhibition, Receiver, told_labels, which_match
from sinks.notifications import Member, Standing

MOST = 200
"""Alerts in one notification; the rest is told in the next one, at once."""

RESEND = timedelta(minutes=1)
"""To an Alertmanager, which forgets alerts at a restart and takes silence for their end."""

HOLD = timedelta(minutes=1)
"""An alert found out late is told when it has not ended by then: the end may be the next thing found out."""

GIVE_UP = timedelta(days=1)
"""An end that could not be told for so long is told no more."""


@dataclass(frozen=True)
class Plan:
    """What to do."""

    tell: tuple[Member, ...] = ()
    done: tuple[Member, ...] = ()
    """There is nothing to tell of these any more."""
    given_up: int = 0
    """How many of these a receiver still takes for firing."""
    more: bool = False
    left_out: int = 0
    check_in: timedelta | None = None


def plan(standing: Standing, receiver: Receiver) -> Plan:
    """What a group's receiver is told now."""
    if standing.grouping is None:
        return Plan()
    found = _sorted(standing, standing.grouping, receiver)
    ended, done, given_up = _ended(standing, receiver)
    due = [*found.changed, *ended, *found.again]
    told = [*due, *found.unchanged][:MOST] if due else []
    checks = found.checks
    if any(one.is_firing for one in told):
        checks = [*checks, _repeat(standing.grouping, receiver)]
    return Plan(
        tell=tuple(told),
        done=tuple(done),
        given_up=given_up,
        more=len(due) > MOST,
        left_out=max(0, len(due) + len(found.unchanged) - MOST) if told else 0,
        check_in=min(checks, default=None),
    )


@dataclass
class _Firing:
    """Alerts that fire, by what there is to tell of them; and after how long to look again."""

    changed: list[Member] = field(default_factory=list)
    again: list[Member] = field(default_factory=list)
    unchanged: list[Member] = field(default_factory=list)
    checks: list[timedelta] = field(default_factory=list)


def _sorted(standing: Standing, grouping: Grouping, receiver: Receiver) -> _Firing:
    now, repeat = standing.now, _repeat(grouping, receiver)
    firing = [one for one in standing.members if one.is_firing]
    muted = _muted(standing, firing)
    found = _Firing()
    for one in firing:
        if one.alert in muted:
            # A silence may be taken back before its time, and what inhibits may end at any.
            poll = timedelta(seconds=max(1.0, grouping.interval))
            found.checks.append(min(poll, muted[one.alert] - now))
        elif one.told is None and one.stale and now - one.updated_at < HOLD:
            found.checks.append(one.updated_at + HOLD - now)
        elif one.told is None or (one.told.episode, one.told.level) != (one.episode, one.level):
            found.changed.append(one)
        elif one.acknowledged and receiver.kind != "alertmanager":
            found.unchanged.append(one)
        elif one.told.at + repeat <= now:
            found.again.append(one)
        else:
            found.unchanged.append(one)
            found.checks.append(one.told.at + repeat - now)
    return found


def _ended(standing: Standing, receiver: Receiver) -> tuple[list[Member], list[Member], int]:
    """Those whose end is to be told, those of which there is nothing to tell, and how many were given up."""
    ended, done, given_up = [], [], 0
    for one in standing.members:
        if one.is_firing:
            continue
        if one.told is None or not receiver.resolved:
            done.append(one)
        elif standing.now - one.updated_at > GIVE_UP:
            given_up += 1
            done.append(one)
        else:
            ended.append(one)
    return ended, done, given_up


def _repeat(grouping: Grouping, receiver: Receiver) -> timedelta:
    return RESEND if receiver.kind == "alertmanager" else timedelta(seconds=grouping.repeat)


def _muted(standing: Standing, firing: Sequence[Member]) -> dict[str, datetime]:
    """Alerts that are silenced or inhibited, and until when at the least."""
    labels = [told_labels(one.rule, one.level, one.labels) for one in firing]
    muted: dict[str, datetime] = {}
    for silence in standing.silences:
        for one, matched in zip(firing, which_match(silence.matchers, labels), strict=True):
            if matched:
                until = muted.get(one.alert, silence.expires_at)
                muted[one.alert] = max(until, silence.expires_at)
    if standing.settings is not None:
        every = [told_labels(one.rule, one.level, one.labels) for one in standing.firing]
        everyone = [one.alert for one in standing.firing]
        mine = [one.alert for one in firing]
        for inhibition in standing.settings.inhibitions:
            for alert in _inhibited(inhibition, everyone, every, mine, labels):
                muted.setdefault(alert, standing.now + GIVE_UP)
    return muted


def _inhibited(
    inhibition: Inhibition,
    sources: Sequence[str],
    source_labels: Sequence[Mapping[str, str]],
    targets: Sequence[str],
    target_labels: Sequence[Mapping[str, str]],
) -> Iterable[str]:
    """The targets that a source inhibits. What is both, source and target, inhibits none that is both."""

    def place(labels: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in inhibition.equal)

    as_target = which_match(inhibition.target, source_labels)
    found: dict[tuple[str, ...], list[tuple[str, bool]]] = {}
    for alert, labels, is_source, both in zip(
        sources,
        source_labels,
        which_match(inhibition.source, source_labels),
        as_target,
        strict=True,
    ):
        if is_source:
            found.setdefault(place(labels), []).append((alert, both))
    as_source = which_match(inhibition.source, target_labels)
    for alert, labels, is_target, both in zip(
        targets,
        target_labels,
        which_match(inhibition.target, target_labels),
        as_source,
        strict=True,
    ):
        if is_target and any(
            source != alert and not (both and source_is_both)
            for source, source_is_both in found.get(place(labels), ())
        ):
            yield alert
