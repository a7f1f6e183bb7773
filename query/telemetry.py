"""Counts requests for Prometheus. Each metric says what to do when it moves."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class Telemetry:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "headrace_api_requests_total",
            "Requests by outcome. 5xx rising: see /readyz, then the log.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "headrace_api_request_duration_seconds",
            "Time to the end of the response. Rising: look for long ranges, or a busy database.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "headrace_api_requests_in_progress",
            "Requests being answered. Staying high: the pool of connections is too small.",
            registry=registry,
        )
        self.exceptions = Counter(
            "headrace_api_exceptions_total",
            "Errors that no rule foresaw. Any: a bug; the log has the traceback.",
            ["type"],
            registry=registry,
        )


class Measured:
    """ASGI middleware that measures every request by the template of its route."""

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begin = self._clock()
        with self._telemetry.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, watched)
            except Exception as error:
                self._telemetry.exceptions.labels(type(error).__name__).inc()
                raise
            finally:
                # Paths and unknown methods would let a scanner make series without end.
                method = scope["method"] if scope["method"] in _METHODS else "other"
                route = getattr(scope.get("route"), "path", "unmatched")
                self._telemetry.requests.labels(method, route, str(status)).inc()
                self._telemetry.duration.labels(method, route).observe(self._clock() - begin)
