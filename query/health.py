"""Routes for those who watch the process: alive, ready, metrics. They need no key."""

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from query.parts import Wired
from schemas.problems import described


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Queries can be answered."""

    ready: Literal[True] = True
    checks: dict[str, bool] = Field(default={"database": True})


def router(registry: CollectorRegistry) -> APIRouter:
    """Routes over the registry that /metrics shows."""
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Alive:
        return Alive()

    @routes.get("/readyz", summary="Whether queries can be answered", responses=described(503))
    async def readyz(parts: Wired) -> Ready:
        """Ask whether the database is reachable and migrated."""
        await parts.database.check()
        return Ready()

    @routes.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes
