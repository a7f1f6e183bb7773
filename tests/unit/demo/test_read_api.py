"""Waiting for a run through the query API: what is patience's matter and what is not."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from deploy.demo.failures import DemoFailed
from deploy.demo.read_api import ReadApi

_RUN = UUID("01900000-0000-7000-8000-000000000000")
_FINISHED = {
    "state": "finished",
    "raw_deleted_at": "2025-01-15T10:30:00Z",
    "points": {"sent": 10, "stored": 10},
}


def _api(*answers: httpx.Response | Exception) -> ReadApi:
    """An API that gives these answers in turn; the last one for ever."""
    left = list(answers)

    async def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["X-API-Key"] == "key"
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Exception):
            raise now
        return now

    return ReadApi("http://api", "key", httpx.MockTransport(answer))


def _ok(**document: Any) -> httpx.Response:
    return httpx.Response(200, json=document)


async def test_waits_until_the_raw_points_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there yet, away, overloaded, running, finished but raw: all of it is waited for and shown."""
    monkeypatch.setattr("deploy.demo.read_api._LOOK_EVERY", 0)
    shown: list[str] = []
    running = _FINISHED | {"state": "running", "points": {"sent": 10, "stored": 4}}
    answers: list[httpx.Response | Exception] = [
        httpx.Response(404),
        httpx.ConnectError("refused"),
        httpx.Response(503),
        _ok(**running),
        _ok(**(_FINISHED | {"raw_deleted_at": None})),
        _ok(**_FINISHED),
        _ok(verdict="passed"),
    ]
    async with _api(*answers) as api:
        assert await api.finished(_RUN, 60, shown.append) == {"verdict": "passed"}
    assert shown == [
        "its start has not been noted yet",
        "the query API is away (refused)",
        "the query API answers 503",
        "running, 4 of 10 points stored",
        "finished, 10 of 10 points stored",
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(404), "not finished after 0 s: its start has not been noted yet"),
        (httpx.Response(401, text="no"), "refuses .*: 401 no"),
        (_ok(**(_FINISHED | {"state": "aborted"})), "was aborted: aborted, 10 of 10 points stored"),
    ],
)
async def test_gives_up_with_how_far_it_came(answer: httpx.Response, said: str) -> None:
    """Patience that ran out, a key that is refused and a run that was aborted end the wait."""
    async with _api(answer) as api:
        with pytest.raises(DemoFailed, match=said):
            await api.finished(_RUN, 0, lambda _: None)
