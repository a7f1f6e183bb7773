"""Puts the read API together from a keyring, a database and a clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from query import health, metrics, parts, problems, runs
from query.database import Database
from schemas.keys import Keyring
from schemas.problems import components

_DESCRIPTION = """
Reads metrics and load-test runs of the tenant that the API key belongs to.

Times are RFC 3339; answers are in UTC. Errors are problem documents (RFC 9457).
"""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The document, with the schema of problems that the routes refer to."""
        document = super().openapi()
        document["components"]["schemas"] |= components(problems.Problem)
        return document


def create_api(
    keyring: Keyring,
    database: Database,
    *,
    registry: CollectorRegistry,
    clock: Callable[[], datetime] = _utc_now,
) -> FastAPI:
    """Make the application. It owns nothing: whoever made the parts closes them.

    `registry` is what /metrics shows.
    """
    app = _Api(title="headrace query API", version="1", description=_DESCRIPTION, redoc_url=None)
    parts.install(app, parts.Parts(keyring, database, clock))
    problems.install(app)
    app.include_router(metrics.router)
    app.include_router(runs.router)
    app.include_router(health.router(registry))
    return app
