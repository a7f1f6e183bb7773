"""Measures an HTTP service under the metric names that Prometheus users expect."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class Measured:
    """ASGI middleware that measures every request by the template of its route.

    Put it around the whole application: no layer is outside that could answer uncounted. `registry`
    is the one that the application's /metrics shows. `clock` gives seconds from any start.
    """

    def __init__(
        self,
        app: ASGIApp,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._clock = clock
        self._requests = Counter(
            "http_requests_total",
            "Requests answered. 5xx rising: see /readyz, then the log. 4xx rising: a client errs.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time to the end of the response. Rising: what this route waits for, the database or the "
            "broker, is slow or is asked for more.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._in_progress = Gauge(
            "http_requests_in_progress",
            "Requests being answered. Staying high: more load than this process, or what it waits "
            "for, can take; slow the clients down or start another.",
            registry=registry,
        )
        self._exceptions = Counter(
            "http_exceptions_total",
            "Errors that no rule foresaw. Any: a bug; the log has the traceback.",
            ["exception_type"],
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        begin = self._clock()

        def note() -> None:
            # Paths and unknown methods would let a scanner make series without end.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._requests.labels(method, route, str(status)).inc()
            self._duration.labels(method, route).observe(self._clock() - begin)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # The client has its answer and may look at once, whatever the application still
                # puts away.
                answering.close()

        with ExitStack() as answering:
            answering.enter_context(self._in_progress.track_inprogress())
            answering.callback(note)
            try:
                await self._app(scope, receive, watched)
            except Exception as error:
                self._exceptions.labels(type(error).__name__).inc()
                raise
