"""What the gateway counts for Prometheus. Each metric says what to do when it moves."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.gateway.limits import Budget

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Telemetry:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry, budget: Budget) -> None:
        self.requests = Counter(
            "headrace_gateway_requests_total",
            "Requests by outcome. 503 rising: see /readyz, then the broker.",
            ["route", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "headrace_gateway_request_duration_seconds",
            "Time to the end of the response. Rising: the broker acknowledges slowly.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.accepted = Counter(
            "headrace_gateway_samples_accepted_total",
            "Samples that Kafka acknowledged. Falling: look at 4xx and 5xx.",
            registry=registry,
        )
        self.refused = Counter(
            "headrace_gateway_samples_refused_total",
            "Samples refused, by reason. Rising: a client sends what the rules do not allow.",
            ["reason"],
            registry=registry,
        )
        held = Gauge(
            "headrace_gateway_held_bytes",
            "Bodies being read and records on their way to Kafka. At the limit the gateway answers 503.",
            registry=registry,
        )
        held.set_function(lambda: budget.used)


class Measured:
    """ASGI middleware that measures every request by the template of its route."""

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count it when it ends."""
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
        try:
            await self._app(scope, receive, watched)
        finally:
            # A path that no route has would let a scanner make series without end.
            route = getattr(scope.get("route"), "path", "unmatched")
            self._telemetry.requests.labels(route, str(status)).inc()
            self._telemetry.duration.labels(route).observe(self._clock() - begin)
