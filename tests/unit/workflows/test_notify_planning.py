"""What a group's receiver is told, and when it is looked at again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.notifications import Grouping, Notifications, Receiver
from sinks.notifications import Firing, Member, Silence, Standing, Told
from workflows.notify.planning import GIVE_UP, HOLD, MOST, RESEND, Plan, plan

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GROUPING = Grouping("ops", "k", {}, 30.0, 300.0, 3600.0)
TENANT = UUID(int=1)


def settings(**more: Any) -> Notifications:
    document = {
        "receivers": [{"name": "ops", "webhook": {"url": "http://x"}}],
        "route": {"receiver": "ops"},
    }
    return Notifications.model_validate(document | more)


def receiver(**more: Any) -> Receiver:
    return Receiver.model_validate({"name": "ops", "webhook": {"url": "http://x"}} | more)


MANAGER = Receiver.model_validate({"name": "ops", "alertmanager": {"url": "http://x"}})


def member(alert: str = "a", **facts: Any) -> Member:
    """An alert that fires since a minute ago, and that nobody was told of."""
    began = NOW - MINUTE
    known: dict[str, Any] = {
        "alert": alert, "rule": "slow", "fingerprint": alert, "labels": {"host": alert},
        "annotations": {}, "state": "firing", "level": "warning", "value": 1.0, "threshold": 0.5,
        "condition": "x > 0.5", "episode": began, "number": 1, "since": began, "fired_at": began,
        "resolved_at": None, "stale": False, "updated_at": began, "acknowledged": False, "told": None,
    }  # fmt: skip
    return Member(**(known | facts))


def told(ago: timedelta = MINUTE, level: str = "warning", episode: datetime = NOW - MINUTE) -> Told:
    return Told(episode, 1, level, NOW - ago)


def planned(*members: Member, to: Receiver | None = None, **facts: Any) -> Plan:
    known: dict[str, Any] = {"settings": settings(), "silences": (), "firing": ()}
    standing = Standing(now=NOW, grouping=GROUPING, members=members, **(known | facts))
    return plan(standing, to or receiver())


def names(members: tuple[Member, ...]) -> list[str]:
    return [one.alert for one in members]


def test_a_group_without_alerts_has_nothing_to_tell() -> None:
    """Nor is it looked at again."""
    assert plan(Standing(NOW, settings(), None, (), (), ()), receiver()) == Plan()


@pytest.mark.parametrize(
    "one",
    [
        member(),
        member(told=told(level="critical")),
        member(told=told(episode=NOW - 9 * MINUTE)),
        member(told=told(ago=timedelta(hours=1))),
        member(state="resolved", told=told()),
        member(state="pending", told=told(episode=NOW - 9 * MINUTE)),
    ],
    ids=["new", "level", "episode", "repeat", "resolved", "pending again"],
)
def test_these_are_told(one: Member) -> None:
    """What fires anew, changed its level, was told long ago; and the end of what was told."""
    assert names(planned(one).tell) == ["a"]


@pytest.mark.parametrize(
    ("one", "check"),
    [
        (member(told=told()), timedelta(minutes=59)),
        (member(told=told(ago=timedelta(hours=2)), acknowledged=True), None),
        (member(stale=True, updated_at=NOW - HOLD / 3), HOLD * 2 / 3),
    ],
    ids=["told", "acknowledged", "stale"],
)
def test_these_wait(one: Member, check: timedelta | None) -> None:
    """What was told lately, what somebody cares about, what may have ended long ago."""
    assert (planned(one).tell, planned(one).check_in) == ((), check)


def test_an_old_alert_that_has_not_ended_is_told() -> None:
    """The hold of what was found out late has an end."""
    assert names(planned(member(stale=True, updated_at=NOW - HOLD)).tell) == ["a"]


def test_a_change_brings_the_group_along() -> None:
    """All that fires of a group is told, the news first; the next repeat is then of all."""
    news, old = member("n"), member("o", told=told(ago=30 * MINUTE))
    found = planned(old, news)
    assert (names(found.tell), found.done) == (["n", "o"], ())
    assert found.check_in == 30 * MINUTE
    assert planned(news).check_in == timedelta(hours=1)


def test_what_nobody_heard_begin_ends_unheard() -> None:
    """It leaves the group; and so does an end that the receiver does not want, or did not take for a day."""
    unheard = member(state="resolved")
    heard = member(state="resolved", told=told())
    late = member(state="resolved", told=told(), updated_at=NOW - GIVE_UP - MINUTE)
    assert (planned(unheard).tell, names(planned(unheard).done)) == ((), ["a"])
    quiet = planned(heard, to=receiver(resolved=False))
    assert (quiet.tell, names(quiet.done), quiet.given_up) == ((), ["a"], 0)
    assert (planned(late).tell, names(planned(late).done), planned(late).given_up) == ((), ["a"], 1)


def test_a_silence_hushes_beginnings_and_repeats_not_ends() -> None:
    """What is muted counts as not told, and is looked at again no later than the silence ends."""
    on = (Silence(("host=~[ab]", "severity=warning"), NOW + MINUTE),)
    for one in (member(), member(told=told(ago=timedelta(hours=2)))):
        assert planned(one, silences=on) == Plan(check_in=MINUTE)
    assert names(planned(member(state="resolved", told=told()), silences=on).tell) == ["a"]
    assert names(planned(member(level="critical"), silences=on).tell) == ["a"]
    assert names(planned(member("c"), member(), silences=on).tell) == ["c"]
    long = (Silence(("host=a",), NOW + timedelta(days=1)), *on)
    assert planned(member(), silences=long).check_in == timedelta(seconds=GROUPING.interval)


INHIBITED = settings(
    inhibitions=[{"source": ["severity=critical"], "target": ["severity=~.+"], "equal": ["dc"]}]
)


def inhibiting(*members: Member) -> tuple[Firing, ...]:
    return tuple(Firing(one.alert, one.rule, one.level, one.labels) for one in members)


def test_a_worse_alert_hushes_those_beside_it() -> None:
    """With equal labels, and never itself, nor another that is as bad."""
    bad = member("bad", level="critical", labels={"dc": "1"})
    other = member("other", level="critical", labels={"dc": "1"})
    beside = member("beside", labels={"dc": "1"})
    far = member("far", labels={"dc": "2"})
    everyone = (bad, other, beside, far)
    found = planned(*everyone, settings=INHIBITED, firing=inhibiting(*everyone))
    assert names(found.tell) == ["bad", "other", "far"]
    over = planned(beside, settings=INHIBITED, firing=inhibiting(beside))
    assert names(over.tell) == ["beside"]


def test_more_than_a_notification_takes_is_told_at_once_after_it() -> None:
    """The news first; nothing is marked as told that was not in it."""
    many = [member(f"{n:04}") for n in range(MOST + 5)]
    found = planned(*many)
    assert (len(found.tell), found.more, found.left_out) == (MOST, True, 5)
    rest = [replace(one, told=told(timedelta(0))) for one in found.tell] + many[MOST:]
    after = planned(*rest)
    assert (names(after.tell)[:5], after.more) == (names(tuple(many[MOST:])), False)


def test_an_alertmanager_is_told_again_and_again() -> None:
    """It takes silence for an end, and groups and repeats by itself."""
    for one in (member(told=told(ago=RESEND)), member(told=told(ago=RESEND), acknowledged=True)):
        assert names(planned(one, to=MANAGER).tell) == ["a"]
    assert planned(member(told=told(ago=RESEND / 2)), to=MANAGER).check_in == RESEND / 2
