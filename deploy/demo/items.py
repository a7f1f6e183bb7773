"""The items service: the application that the demo's load tests put under load."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, Field

from deploy.demo.item_store import Item, ItemBody, ItemStore
from sinks.database import connect_pool


@asynccontextmanager
async def serving_items(dsn: str, registry: CollectorRegistry) -> AsyncIterator[FastAPI]:
    """The application over a database; makes its schema first, closes its connections at the end.

    `registry` is what /metrics shows.

    Raises:
        OSError, asyncpg.PostgresError: the database can't be used.
    """
    async with await connect_pool(dsn, role=None, application="items", max_size=8) as pool:
        store = ItemStore(pool)
        await store.ensure()
        yield create_items(store, registry)


def create_items(store: ItemStore, registry: CollectorRegistry) -> FastAPI:
    """The application over a store whose schema exists."""
    app = FastAPI(title="items", description="A small service to put under load.")

    # FastAPI's own answer repeats the input, and fails for text that is not valid Unicode.
    @app.exception_handler(RequestValidationError)
    async def unprocessable(_: Request, error: RequestValidationError) -> JSONResponse:
        told = [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]
        return JSONResponse({"detail": told}, status_code=422)

    _add_items(app, store)
    _add_probes(app, store, registry)
    return app


class Slowness(BaseModel):
    """How long each answer about items is held back."""

    delay_ms: int = Field(ge=0, le=10_000)


def _add_items(app: FastAPI, store: ItemStore) -> None:
    slowness = Slowness(delay_ms=0)

    @app.get("/slowness", summary="How slow it was made")
    async def slow() -> Slowness:
        return slowness

    @app.put("/slowness", summary="Make it slow, or quick again: an incident to practise on")
    async def set_slowness(body: Slowness) -> Slowness:
        slowness.delay_ms = body.delay_ms
        return slowness

    async def held_back() -> None:
        if slowness.delay_ms:
            await asyncio.sleep(slowness.delay_ms / 1000)

    items = APIRouter(dependencies=[Depends(held_back)])
    _add_crud(items, store)
    app.include_router(items)


def _add_crud(app: APIRouter, store: ItemStore) -> None:
    @app.post("/items", status_code=201, summary="Make an item")
    async def create(body: ItemBody) -> Item:
        return await store.create(body)

    @app.get("/items", summary="Items, newest first")
    async def page(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> list[Item]:
        return await store.page(limit, offset)

    @app.get("/items/{item_id}", summary="One item")
    async def get(item_id: UUID) -> Item:
        return _found(await store.get(item_id))

    @app.put("/items/{item_id}", summary="Replace an item's title, description and status")
    async def replace(item_id: UUID, body: ItemBody) -> Item:
        return _found(await store.replace(item_id, body))

    @app.delete("/items/{item_id}", status_code=204, summary="Forget an item")
    async def delete(item_id: UUID) -> None:
        if not await store.delete(item_id):
            _found(None)


def _add_probes(app: FastAPI, store: ItemStore, registry: CollectorRegistry) -> None:
    @app.get("/healthz", summary="Alive")
    async def healthz() -> dict[str, str]:
        return {"service": "items"}

    @app.get("/readyz", summary="Alive, and the database answers")
    async def readyz(response: Response) -> dict[str, bool]:
        database = await store.alive()
        response.status_code = 200 if database else 503
        return {"database": database}

    @app.get("/metrics", summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _found(item: Item | None) -> Item:
    if item is None:
        raise HTTPException(404, "There is no item with this id.")
    return item
