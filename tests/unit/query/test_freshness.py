"""ETags: which state of the data they stand for, and which If-None-Match is a match."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI, Request

from query.freshness import (
    SETTLING,
    ETag,
    Level,
    NotModified,
    State,
    Versions,
    etag,
    install,
    matches,
)
from query.parameters import TimeRange

NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = TimeRange(NOW - HOUR, NOW)
TENANT = UUID(int=1)
STATE = State(
    taken=5,
    waiting=1,
    changed_at=NOW - 9 * HOUR,
    first_seen=NOW - 99 * HOUR,
    series=3,
    created_at=None,
    version=None,
)


APP = FastAPI()
install(APP)


def request(path: str = "/x", query: str = "a=1&b=2", **headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": sent,
            "server": ("api", 80),
            "app": APP,
        }
    )


def asking(
    asked_by: Request | None = None,
    *,
    state: State = STATE,
    tenant: UUID = TENANT,
    asked: TimeRange = ASKED,
    level: Level = "raw",
    now: datetime = NOW,
) -> ETag:
    return etag(state, asked_by or request(), tenant, asked=asked, level=level, now=now)


def state_of(*arguments: Any, **options: Any) -> bytes:
    return asking(*arguments, **options).state


def test_nothing_changed_nothing_changes() -> None:
    """The same request has the same state later, however its parameters are ordered."""
    assert state_of() == state_of(request(query="b=2&a=1"), now=NOW + 5 * HOUR)


@pytest.mark.parametrize(
    "other",
    [
        {"state": replace(STATE, taken=6)},
        {"state": replace(STATE, waiting=2)},
        {"state": replace(STATE, changed_at=NOW - 8 * HOUR)},
        {"state": replace(STATE, first_seen=NOW)},
        {"state": replace(STATE, series=4)},
        {"state": replace(STATE, version=1, created_at=NOW)},
        {"tenant": uuid4()},
        {"asked": TimeRange(NOW - 2 * HOUR, NOW)},
        {"level": "1m"},
        {"asked_by": request(path="/y")},
        {"asked_by": request(query="a=1&b=3")},
        {"asked_by": request(query="a=1&b=2&b=2")},
        {"asked_by": request(accept="text/csv")},
    ],
)
def test_what_may_change_an_answer_changes_the_state(other: dict[str, Any]) -> None:
    """The data, the definition, the tenant, the request, the level and the form are all in it."""
    assert state_of() != state_of(**other)


@pytest.mark.parametrize("level", [level for level, time in SETTLING.items() if time])
def test_a_level_that_still_settles_is_good_for_a_minute(level: Level) -> None:
    """While the level may still be refreshed, the state is that of a minute; afterwards it stays."""
    minute, young = timedelta(minutes=1), replace(STATE, changed_at=NOW)
    first = state_of(state=young, level=level)
    assert first == state_of(state=young, level=level, now=NOW + minute / 4)
    assert first != state_of(state=young, level=level, now=NOW + minute)
    settled = state_of(state=young, level=level, now=NOW + SETTLING[level])
    assert settled == state_of(state=young, level=level, now=NOW + 99 * HOUR)


def test_a_client_that_has_the_answer_is_told_before_it_is_made() -> None:
    """Once an answer was made from a state, its tag in If-None-Match ends the request there."""
    tag = asking().of(b"answer")
    with pytest.raises(NotModified) as found:
        asking(request(if_none_match=f'"other", {tag}'))
    assert found.value.etag == tag
    asking(request(if_none_match='W/"other"'))


def test_an_answer_that_is_made_again_the_same_is_not_sent_again() -> None:
    """From another state, in another process: the same bytes are the same version."""
    tag = asking().of(b"answer")
    again = asking(request(if_none_match=tag), state=replace(STATE, taken=77))
    with pytest.raises(NotModified):
        again.of(b"answer")
    changed = asking(request(if_none_match=tag), state=replace(STATE, taken=78))
    assert changed.of(b"another") != tag


def test_the_same_bytes_of_two_tenants_are_two_versions() -> None:
    """No tag tells whether somebody else has the same."""
    assert asking().of(b"[]") != asking(tenant=uuid4()).of(b"[]")


def test_the_oldest_versions_are_forgotten() -> None:
    """What is remembered is bounded; what was kept again is young again."""
    versions = Versions(most=2)
    for state in (b"a", b"b", b"a", b"c"):
        versions.keep(state, f"tag {state!r}")
    assert versions.find(b"b") is None
    assert versions.find(b"a") == f"tag {b'a'!r}"
    assert versions.find(b"c") is not None


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ([], False),
        ([""], False),
        (["*"], True),
        ([" * "], True),
        (['"a"'], True),
        (['W/"a"'], True),
        (['"b", W/"a" ,"c"'], True),
        (['"b"', '"a"'], True),
        (["a"], False),
        (['"a'], False),
        (['"A"'], False),
        (['"ab"'], False),
        (['"b,a"'], False),
        (['"*"'], False),
    ],
)
def test_tags_are_compared_weakly(sent: list[str], found: bool) -> None:
    """Lists, several headers, weak tags and `*`; nothing that only looks alike."""
    assert matches(sent, 'W/"a"') is found
    assert matches(sent, '"a"') is found
