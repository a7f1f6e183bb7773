"""Puts the API together from a keyring, a database and a clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry

from query import (
    alerts,
    baselines,
    catalog,
    charts,
    comparison,
    definitions,
    deletion,
    freshness,
    health,
    k6,
    keys,
    metrics,
    parts,
    pauses,
    playbooks,
    points,
    problems,
    remediations,
    rules,
    runs,
    silences,
)
from query.compression import Compressed
from query.database import Database
from query.departures import Departures
from query.routing import Retention
from query.settled import Memory
from query.sizes import Sizes
from schemas.keys import Keyring
from schemas.problems import components

_DESCRIPTION = """
Reads metrics, load-test runs and alerts of the tenant that the API key belongs to, and manages its metric
definitions, alert rules, silences, playbooks, remediations and keys.

Times are RFC 3339; answers are in UTC. Errors are problem documents (RFC 9457). A parameter that a
route does not know is an error. An ETag in If-None-Match is answered with 304 while nothing changed.
"""

_ROUTERS = (
    catalog.router,
    definitions.router,
    deletion.router,
    metrics.router,
    charts.router,
    points.router,
    runs.router,
    *k6.ROUTERS,
    comparison.router,
    baselines.router,
    rules.router,
    alerts.router,
    silences.router,
    playbooks.router,
    remediations.router,
    pauses.router,
    keys.router,
)


_RETENTION = Retention()


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_api(
    keyring: Keyring,
    database: Database,
    *,
    registry: CollectorRegistry,
    limits: parts.Limits = parts.DEFAULT_LIMITS,
    retention: Retention = _RETENTION,
    clock: Callable[[], datetime] = _utc_now,
    approvals: parts.Approvals | None = None,
    memory: Memory | None = None,
) -> FastAPI:
    """Make the application. It owns nothing: whoever made the parts closes them.

    `registry` is what /metrics shows; `limits` are those of tenants that have none of their own.
    """
    # Its documentation page loads nothing from elsewhere.
    app = FastAPIOffline(
        title="headrace query API", version="1", description=_DESCRIPTION, redoc_url=None
    )
    kept = Memory() if memory is None else memory
    parts.install(app, parts.Parts(keyring, database, limits, retention, clock, kept, approvals))
    problems.install(app)
    # From the inside out.
    app.add_middleware(Sizes)
    app.add_middleware(Departures)
    app.add_middleware(Compressed)
    freshness.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    app.include_router(health.router(registry))
    app.openapi = _document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with the schema of problems that the routes refer to."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document["components"]["schemas"] |= components(problems.Problem)
        return document

    return openapi
