"""Routes of metric definitions: what a name means, how long it is kept, what a query returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import Field

from query import cursors, preconditions
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Reading, Taken
from query.parameters import CursorText, Limit, MetricInPath, Prefix
from query.parts import Wired
from query.paths import NAME
from query.preconditions import IfMatch
from schemas.definitions import AlertThreshold, Definition, NamedDefinition
from schemas.problems import described

MOST = 10_000
"""Definitions of one tenant: ingest keeps them in memory."""

_PATH = "/api/v1/metrics/definitions"


class StoredDefinition(NamedDefinition):
    """A definition."""

    version: int = Field(description="counts its changes")
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Names this version."""
        return preconditions.tag(self.version, self.created_at)


class DefinitionPage(Answer):
    """Definitions by name."""

    definitions: list[StoredDefinition]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class DefinitionRemoval(Answer):
    """What goes with a definition."""

    dry_run: bool = Field(description="true: nothing was removed")
    definition: StoredDefinition
    effects: list[str] = Field(
        description="what changes for the samples, for a person",
        examples=[["raw samples are kept as long as the settings say, not 90 days"]],
    )


router = APIRouter(prefix=_PATH, tags=["definitions"], responses=described(401, 403, 422, 503, 504))


@router.get("", summary="Definitions by name")
async def list_definitions(
    *,
    parts: Wired,
    tenant: Tenant,
    prefix: Prefix = "",
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> DefinitionPage:
    """Page through the definitions whose names begin with `prefix`."""
    after = cursors.after(cursor, cursors.Name, prefix)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("list_definitions", prefix, after and after.name, limit + 1)
    found = [_stored(row) for row in rows[:limit]]
    last = cursors.Name(found[-1].name) if len(rows) > limit else None
    return DefinitionPage(definitions=found, next_cursor=cursors.following(last, prefix))


@router.post(
    "",
    status_code=201,
    summary="Define a metric",
    responses={**described(400, 409, 413), **preconditions.MADE},
)
async def create_definition(
    parts: Wired, tenant: AdminTenant, definition: NamedDefinition, response: Response
) -> StoredDefinition:
    """Define a metric that has no definition yet; it need not have samples either."""
    try:
        async with parts.database.writing(tenant) as writing:
            rows = await writing.rows(
                "create_definition", *_columns(definition.name, definition), MOST
            )
    except Taken as error:
        raise HTTPException(
            409, f"{definition.name!r} is defined already: PUT it to change it."
        ) from error
    if not rows:
        raise HTTPException(409, f"There are {MOST} definitions: delete some first.")
    stored = _stored(rows[0])
    preconditions.made(stored.etag, f"{_PATH}/{quote(stored.name, safe='')}", response)
    return stored


@router.get(
    NAME,
    summary="One definition",
    responses={**described(404), **preconditions.SHOWN},
)
async def get_definition(
    parts: Wired, tenant: Tenant, name: MetricInPath, request: Request, response: Response
) -> StoredDefinition:
    """Show the definition of a metric; its ETag is what a change must name."""
    async with parts.database.reading(tenant) as reading:
        stored = await _get(reading, "get_definition", name)
    preconditions.show(stored.etag, request, response)
    return stored


@router.put(
    NAME,
    summary="Replace a definition",
    responses={**described(400, 404, 412, 413, 428), **preconditions.TAGGED},
)
async def replace_definition(
    *,
    parts: Wired,
    tenant: AdminTenant,
    name: MetricInPath,
    definition: Definition,
    response: Response,
    if_match: IfMatch = None,
) -> StoredDefinition:
    """Replace all of a definition: what the body leaves out gets its default."""
    named = preconditions.require(if_match)
    async with parts.database.writing(tenant) as writing:
        preconditions.check(named, (await _get(writing, "hold_definition", name)).etag)
        (row,) = await writing.rows("replace_definition", *_columns(name, definition))
    stored = _stored(row)
    response.headers["ETag"] = stored.etag
    return stored


@router.delete(
    NAME,
    summary="Delete a definition, not the samples",
    responses={**described(404, 412, 428), **preconditions.TAGGED},
)
async def delete_definition(
    *,
    parts: Wired,
    tenant: AdminTenant,
    name: MetricInPath,
    response: Response,
    dry_run: Annotated[
        bool, Query(description="Only say what would go; needs no If-Match.")
    ] = False,
    if_match: IfMatch = None,
) -> DefinitionRemoval:
    """Delete a definition: the metric is then treated as one that never had any.

    To delete its samples, DELETE /api/v1/metrics/data/{name}.
    """
    named = "*" if dry_run and if_match is None else preconditions.require(if_match)
    async with parts.database.writing(tenant) as writing:
        stored = await _get(writing, "hold_definition", name)
        preconditions.check(named, stored.etag)
        if not dry_run:
            await writing.rows("delete_definition", name)
    if dry_run:
        response.headers["ETag"] = stored.etag
    return DefinitionRemoval(dry_run=dry_run, definition=stored, effects=_effects(stored))


async def _get(reading: Reading, query: str, name: str) -> StoredDefinition:
    rows = await reading.rows(query, name)
    if not rows:
        raise HTTPException(404, f"{name!r} has no definition: POST one to {_PATH}")
    return _stored(rows[0])


def _stored(row: Mapping[str, Any]) -> StoredDefinition:
    columns = dict(row)
    threshold = {level: columns.pop(level) for level in AlertThreshold.model_fields}
    some = any(value is not None for value in threshold.values())
    return StoredDefinition(
        **columns, alert_threshold=AlertThreshold(**threshold) if some else None
    )


def _columns(name: str, definition: Definition) -> tuple[object, ...]:
    """What the queries take from $1 to $10."""
    threshold = definition.alert_threshold
    return (
        name,
        definition.display_name,
        definition.description,
        definition.unit,
        definition.type,
        definition.aggregation,
        definition.retention_days,
        threshold and threshold.warning,
        threshold and threshold.critical,
        definition.max_label_values,
    )


def _effects(definition: StoredDefinition) -> list[str]:
    effects = []
    if definition.aggregation != "avg":
        effects.append(
            f"queries return avg unless they ask for another, not {definition.aggregation}"
        )
    if definition.retention_days is not None:
        effects.append(
            f"raw samples are kept as long as the settings say, not {definition.retention_days} days"
        )
    if definition.type in {"histogram", "summary"}:
        effects.append("percentiles of times whose raw samples are gone can no longer be answered")
    if definition.max_label_values is not None:
        effects.append("its labels may have as many values as the settings say")
    if definition.alert_threshold is not None:
        effects.append("its alert threshold is gone")
    return effects
