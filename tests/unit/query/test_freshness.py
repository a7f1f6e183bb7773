"""ETags: which state of the data they stand for, and which If-None-Match is a match."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI, Request

from query.database import Rows
from query.freshness import SETTLING, ETag, Level, NotModified, Versions, etag, install, matches
from query.parameters import TimeRange

NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = TimeRange(NOW - HOUR, NOW)
TENANT = UUID(int=1)
STATE: dict[str, Any] = {
    "taken": 5,
    "waiting": 1,
    "changed_at": NOW - 9 * HOUR,
    "first_seen": NOW - 99 * HOUR,
    "series": 3,
    "created_at": None,
    "version": None,
}


class State:
    """Answers the query for the state of the data."""

    def __init__(self, **changes: Any) -> None:
        self.row = STATE | changes

    async def rows(self, query: str, *_: object) -> Rows:
        """The one row."""
        assert query == "freshness"
        return [self.row]


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


async def asking(
    asked_by: Request | None = None,
    *,
    state: State | None = None,
    tenant: UUID = TENANT,
    metric: str = "cpu",
    asked: TimeRange = ASKED,
    level: Level = "raw",
    now: datetime = NOW,
) -> ETag:
    return await etag(
        state or State(),
        asked_by or request(),
        tenant,
        metric=metric,
        asked=asked,
        level=level,
        now=now,
    )


async def state_of(*arguments: Any, **options: Any) -> bytes:
    return (await asking(*arguments, **options)).state


async def test_nothing_changed_nothing_changes() -> None:
    """The same request has the same state later, however its parameters are ordered."""
    assert await state_of() == await state_of(request(query="b=2&a=1"), now=NOW + 5 * HOUR)


@pytest.mark.parametrize(
    "other",
    [
        {"state": State(taken=6)},
        {"state": State(waiting=2)},
        {"state": State(changed_at=NOW - 8 * HOUR)},
        {"state": State(first_seen=NOW)},
        {"state": State(series=4)},
        {"state": State(version=1, created_at=NOW)},
        {"tenant": uuid4()},
        {"metric": "mem"},
        {"asked": TimeRange(NOW - 2 * HOUR, NOW)},
        {"level": "1m"},
        {"asked_by": request(path="/y")},
        {"asked_by": request(query="a=1&b=3")},
        {"asked_by": request(query="a=1&b=2&b=2")},
        {"asked_by": request(accept="text/csv")},
    ],
)
async def test_what_may_change_an_answer_changes_the_state(other: dict[str, Any]) -> None:
    """The data, the definition, the tenant, the request, the level and the form are all in it."""
    assert await state_of() != await state_of(**other)


@pytest.mark.parametrize("level", [level for level, time in SETTLING.items() if time])
async def test_a_level_that_still_settles_is_good_for_a_minute(level: Level) -> None:
    """While the level may still be refreshed, the state is that of a minute; afterwards it stays."""
    minute, young = timedelta(minutes=1), State(changed_at=NOW)
    first = await state_of(state=young, level=level)
    assert first == await state_of(state=young, level=level, now=NOW + minute / 4)
    assert first != await state_of(state=young, level=level, now=NOW + minute)
    settled = await state_of(state=young, level=level, now=NOW + SETTLING[level])
    assert settled == await state_of(state=young, level=level, now=NOW + 99 * HOUR)


async def test_a_client_that_has_the_answer_is_told_before_it_is_made() -> None:
    """Once an answer was made from a state, its tag in If-None-Match ends the request there."""
    tag = (await asking()).of(b"answer")
    with pytest.raises(NotModified) as found:
        await asking(request(if_none_match=f'"other", {tag}'))
    assert found.value.etag == tag
    await asking(request(if_none_match='W/"other"'))


async def test_an_answer_that_is_made_again_the_same_is_not_sent_again() -> None:
    """From another state, in another process: the same bytes are the same version."""
    tag = (await asking()).of(b"answer")
    again = await asking(request(if_none_match=tag), state=State(taken=77))
    with pytest.raises(NotModified):
        again.of(b"answer")
    changed = await asking(request(if_none_match=tag), state=State(taken=78))
    assert changed.of(b"another") != tag


async def test_the_same_bytes_of_two_tenants_are_two_versions() -> None:
    """No tag tells whether somebody else has the same."""
    assert (await asking()).of(b"[]") != (await asking(tenant=uuid4())).of(b"[]")


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
