"""Measures an HTTP service under the metric names that Prometheus users expect."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HttpMetrics:
    """ASGI middleware; its metrics go to the registry that it is given."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "http_requests",
            "Requests answered. Many 5xx: the database is away; see /readyz and the log.",
            ["method", "path", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds until a request was answered. Rising under steady load: the database waits.",
            ["method", "path"],
            registry=registry,
        )
        self._running = Gauge(
            "http_requests_in_progress",
            "Requests being answered. Rising for minutes: more load than the service can take.",
            registry=registry,
        )
        self._exceptions = Counter(
            "http_exceptions",
            "Requests that ended in an error of ours. Any: the log has the trace.",
            ["exception_type"],
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection of the server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        with self._running.track_inprogress():
            try:
                await self._app(scope, receive, noting)
            except Exception as error:
                self._exceptions.labels(type(error).__name__).inc()
                raise
            finally:
                # The route's template: a path with an id in it would be a series an item.
                path = getattr(scope.get("route"), "path", "unmatched")
                method = scope["method"] if path != "unmatched" else "any"
                self._requests.labels(method, path, str(status)).inc()
                self._seconds.labels(method, path).observe(time.perf_counter() - started)
