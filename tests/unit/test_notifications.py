"""Documents of notifications: what they may say, and where they lead alerts."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.notifications import Notifications, matches, told_labels

HOOK = {"name": "hook", "webhook": {"url": "https://hooks.example.org/x"}}
PAGER = {
    "name": "pager",
    "webhook": {"url": "secret://env/PAGER_URL", "secret": "secret://file//run/x"},
}
MAIL = {"to": ["ops@example.org"], "from": "headrace@example.org", "host": "smtp.example.org"}


def read(**parts: Any) -> Notifications:
    return Notifications.model_validate(
        {"receivers": [HOOK, PAGER], "route": {"receiver": "hook"}} | parts
    )


def led(document: Notifications, **labels: str) -> list[tuple[str, dict[str, str]]]:
    found = document.groups(told_labels("slow", "warning", labels))
    return [(one.receiver, one.labels) for one in found]


def test_the_first_route_that_matches_takes_an_alert() -> None:
    """Unless it says to go on; what none takes goes the default way."""
    document = read(
        routes=[
            {"match": ["team=db"], "receiver": "pager", "continue": True, "group_by": ["host"]},
            {"match": ["team=~db|web"], "receiver": "hook", "group_by": []},
            {"match": ["severity=warning"], "receiver": "pager"},
        ]
    )
    assert led(document, team="db", host="a") == [("pager", {"host": "a"}), ("hook", {})]
    assert led(document, team="web") == [("hook", {})]
    assert led(document, team="x") == [("pager", {"alertname": "slow"})]
    assert led(document, severity="page") == [("hook", {"alertname": "slow"})]


def test_groups_are_told_apart_by_their_route_and_labels() -> None:
    """A label that is not there and one that is empty are the same."""
    document = read(route={"receiver": "hook", "group_by": ["host", "dc"]})
    keys = [
        next(document.groups(labels)).key
        for labels in ({"host": "a"}, {"host": "a", "dc": ""}, {"dc": "a"}, {"host": "b"}, {})
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_a_route_has_the_times_of_the_default_one_unless_it_says() -> None:
    """Written as durations, handed on in seconds."""
    document = read(
        route={"receiver": "hook", "group_wait": "10s", "repeat_interval": "1h30m"},
        routes=[{"match": ["a=b"], "receiver": "hook", "group_wait": "0s"}],
    )
    (own,) = document.groups({"a": "b"})
    (default,) = document.groups({})
    assert (own.wait, own.interval, own.repeat) == (0.0, 300.0, 5400.0)
    assert (default.wait, default.interval, default.repeat) == (10.0, 300.0, 5400.0)
    again = Notifications.model_validate_json(document.model_dump_json(by_alias=True))
    assert again == document


def test_the_alert_s_own_severity_is_kept_and_its_name_is_its_rule() -> None:
    """Labels say who the alert is; no label can pass for another rule."""
    labels = told_labels("slow", "warning", {"severity": "page", "alertname": "fine"})
    assert labels == {"severity": "page", "alertname": "slow"}
    assert matches(["severity=~pa.*", "dc="], labels)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"receivers": []}, "at least 1 item"),
        ({"receivers": [HOOK, HOOK]}, "has hook twice"),
        ({"route": {"receiver": "nobody"}}, "lead to nobody"),
        ({"routes": [{"match": [], "receiver": "hook"}]}, "at least 1 item"),
        ({"routes": [{"match": ["host"], "receiver": "hook"}]}, "must be a label"),
        ({"routes": [{"match": ["host=~("], "receiver": "hook"}]}, "RE2 refuses"),
        ({"route": {"receiver": "hook", "group_wait": "soon"}}, "no duration"),
        ({"route": {"receiver": "hook", "repeat_interval": "1s"}}, "greater than or equal"),
        ({"receivers": [{"name": "hook"}]}, "must have one of"),
        ({"receivers": [{**HOOK, "email": MAIL}]}, "must have one of"),
        ({"receivers": [{"name": "hook", "webhook": {"url": "ftp://x"}}]}, "must be a URL"),
        ({"receivers": [{"name": "hook", "webhook": {"url": "http://a:b@x"}}]}, "without cred"),
        ({"receivers": [{**HOOK, "webhook": {"url": "http://x", "secret": "s3"}}]}, "not be it"),
        ({"receivers": [{**HOOK, "webhook": {"url": "secret://vault/x"}}]}, "must refer"),
        ({"receivers": [{"name": "hook", "email": {**MAIL, "to": ["a@b\nBcc: c@d"]}}]}, "no addr"),
        ({"receivers": [{"name": "hook", "email": {**MAIL, "host": "a b"}}]}, "no host"),
        ({"receivers": [{"name": "hook", "email": {**MAIL, "username": "u"}}]}, "together"),
        (
            {
                "receivers": [
                    {
                        "name": "hook",
                        "email": {
                            **MAIL,
                            "username": "u",
                            "password": "secret://env/P",
                            "security": "none",
                        },
                    }
                ]
            },
            "needs security",
        ),
        ({"muted": True}, "Extra inputs"),
    ],
)
def test_what_can_not_work_is_refused(parts: dict[str, Any], reason: str) -> None:
    """With the reason."""
    with pytest.raises(ValidationError) as refused:
        read(**parts)
    assert reason in str(refused.value)
