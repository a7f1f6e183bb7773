"""What the outermost layer of every HTTP server measures."""

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from prometheus_client import CollectorRegistry, generate_latest
from starlette.types import Message, Receive, Scope, Send

from deploy.http_metrics import Measured


def service(registry: CollectorRegistry) -> FastAPI:
    """An application with a route that shows what is measured, and one that fails."""
    app = FastAPI()

    @app.get("/things/{thing}")
    async def thing(thing: str) -> str:
        if thing == "none":
            raise HTTPException(404)
        return generate_latest(registry).decode()

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError

    return app


async def receive() -> Message:
    """Say nothing."""
    return {}


async def send(_: Message) -> None:
    """Take nothing."""


class Measurements:
    """A measured service and its metrics; each look at the clock is a quarter of a second later."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.looks = 0
        app = Measured(service(self.registry), self.registry, self.clock)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://s")

    def clock(self) -> float:
        """See `Measured`."""
        self.looks += 1
        return self.looks / 4

    def value(self, name: str, **labels: str) -> float | None:
        """A metric's value; None for a series that is not there."""
        return self.registry.get_sample_value(name, labels)

    def series(self, name: str) -> int:
        """How many series the metric has."""
        found = [one for family in self.registry.collect() for one in family.samples]
        return sum(one.name == name for one in found)


async def test_requests_and_durations_go_by_the_template() -> None:
    """Two paths of a route are one series; each status is one of its own."""
    measured = Measurements()
    for path in ("/things/a", "/things/b", "/things/none"):
        await measured.client.get(path)
    of = {"method": "GET", "route": "/things/{thing}"}
    assert measured.value("http_requests_total", **of, status="200") == 2
    assert measured.value("http_requests_total", **of, status="404") == 1
    assert measured.value("http_request_duration_seconds_count", **of) == 3
    assert measured.value("http_request_duration_seconds_sum", **of) == 0.75


async def test_a_scanner_makes_no_series_without_end() -> None:
    """Paths that no route has are one series, and so are methods that HTTP does not know."""
    measured = Measurements()
    for number in range(5):
        await measured.client.get(f"/wp-login-{number}.php")
        await measured.client.request(f"BREW{number}", "/things/a")
        await measured.client.request(f"BREW{number}", "/pot")
    count = measured.value
    assert count("http_requests_total", method="GET", route="unmatched", status="404") == 5
    assert count("http_requests_total", method="other", route="/things/{thing}", status="405") == 5
    assert count("http_requests_total", method="other", route="unmatched", status="404") == 5
    assert measured.series("http_requests_total") == 3
    assert measured.series("http_request_duration_seconds_count") == 3


async def test_an_unforeseen_error_is_counted_by_its_type() -> None:
    """It is a 500 as well, and no longer in progress; an answer with an error status is no exception."""
    measured = Measurements()
    await measured.client.get("/things/none")
    assert measured.series("http_exceptions_total") == 0
    assert (await measured.client.get("/broken")).status_code == 500
    assert measured.value("http_exceptions_total", exception_type="LookupError") == 1
    assert measured.value("http_requests_total", method="GET", route="/broken", status="500") == 1
    assert measured.value("http_requests_in_progress") == 0


async def test_what_is_being_answered_is_in_progress() -> None:
    """A request sees itself, and nothing is left when it has ended."""
    measured = Measurements()
    answer = await measured.client.get("/things/a")
    assert "http_requests_in_progress 1.0" in answer.json()
    assert measured.value("http_requests_in_progress") == 0


async def test_the_error_goes_on_to_the_server() -> None:
    """Who serves the application logs it."""

    async def fails(_: Scope, __: Receive, ___: Send) -> None:
        raise LookupError

    app = Measured(fails, CollectorRegistry())
    for kind in ("http", "lifespan"):
        with pytest.raises(LookupError):
            await app({"type": kind, "method": "GET"}, receive, send)


async def test_what_a_client_has_in_whole_is_counted() -> None:
    """It may look at once, while the application still puts things away; the request counts once."""
    registry = CollectorRegistry()
    seen = []

    def count() -> float | None:
        labels = {"method": "GET", "route": "unmatched", "status": "200"}
        return registry.get_sample_value("http_requests_total", labels)

    async def tidies(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        seen.append(count())
        await send({"type": "http.response.body", "body": b"two"})
        seen.append(count())

    await Measured(tidies, registry)({"type": "http", "method": "GET"}, receive, send)
    assert [*seen, count()] == [None, 1, 1]
