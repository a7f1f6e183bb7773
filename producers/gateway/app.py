"""Puts the gateway together from a keyring, a publisher, limits and a clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from producers.gateway import documents, problems
from producers.gateway.access import tenant_of
from producers.gateway.intake import Intake
from producers.gateway.limits import Budget, Limits
from producers.gateway.publishing import Publisher
from producers.gateway.reading import Reader
from producers.gateway.telemetry import Telemetry
from schemas.errors import Temporary
from schemas.keys import Keyring
from schemas.problems import components, described
from schemas.window import Window

_DESCRIPTION = """
Takes metrics over HTTP and answers 202 when they are in Kafka.

Errors are problem documents (RFC 9457). After a 503 wait for `Retry-After` seconds and send the same
again; unless its text says that nothing was stored, the retry may store samples twice.
"""
_READY_WITHIN = 3.0


class Health(BaseModel):
    """The process does what its name says."""

    status: Literal["ok"] = "ok"


async def _nothing_else() -> None:
    """No other dependency."""


def create_gateway(
    keyring: Keyring,
    publisher: Publisher,
    *,
    window: Window,
    limits: Limits,
    registry: CollectorRegistry,
    budget: Budget | None = None,
    ready: Callable[[], Awaitable[None]] = _nothing_else,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Make the application. It owns nothing: whoever made the parts closes them.

    `registry` is what /metrics shows; it gets the gateway's own counts. `clock` gives seconds since the
    epoch. `budget` is the one that the publisher uses, if it uses one. `ready` raises Temporary while a dependency other than Kafka is away.
    """
    budget = budget or Budget(limits.held)
    telemetry = Telemetry(registry, budget)
    reader = Reader(window, limit=limits.samples, default_source=limits.default_source)
    intake = Intake(
        publisher=publisher,
        reader=reader,
        limits=limits,
        budget=budget,
        telemetry=telemetry,
        clock=clock,
    )

    app = FastAPI(title="headrace gateway", version="1", description=_DESCRIPTION, redoc_url=None)
    problems.install(app)
    app.include_router(_ingest(keyring, intake))
    app.include_router(_health(registry, publisher, ready))
    _complete(app)
    return app


def _ingest(keyring: Keyring, intake: Intake) -> APIRouter:
    routes = APIRouter(
        prefix="/api/v1/metrics",
        tags=["ingest"],
        responses=described(401, 403, 413, 415, 422, 503),
    )
    tenant_of_key = Depends(tenant_of(keyring))

    @routes.post(
        "/ingest",
        status_code=202,
        summary="Send one sample",
        response_model_exclude_defaults=True,
        openapi_extra=documents.request_body(documents.Sample),
    )
    async def sample(
        request: Request, tenant: Annotated[UUID, tenant_of_key]
    ) -> documents.Accepted:
        return await intake.sample(request, tenant)

    @routes.post(
        "/ingest/batch",
        status_code=202,
        summary="Send up to 10,000 samples",
        response_model_exclude_defaults=True,
        openapi_extra=documents.request_body(documents.Batch),
    )
    async def batch(
        request: Request,
        tenant: Annotated[UUID, tenant_of_key],
        partial: Annotated[
            bool, Query(description="store the good samples of a batch that has bad ones")
        ] = False,
    ) -> documents.Accepted:
        return await intake.batch(request, tenant, partial=partial)

    return routes


def _health(
    registry: CollectorRegistry, publisher: Publisher, ready: Callable[[], Awaitable[None]]
) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Health:
        return Health()

    @routes.get("/readyz", summary="Whether samples can be taken", responses=described(503))
    async def readyz() -> Health:
        if publisher.problem:
            raise Temporary(publisher.problem)
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await ready()
        except TimeoutError:
            raise Temporary(f"a dependency did not answer within {_READY_WITHIN:g} s") from None
        return Health()

    @routes.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes


def _complete(app: FastAPI) -> None:
    """Add to the OpenAPI document the models that routes refer to without FastAPI's knowing."""
    app.openapi()["components"]["schemas"] |= components(
        documents.Batch, documents.Sample, problems.Problem
    )
