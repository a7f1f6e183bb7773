"""Routes of alert rules: what is watched, when it is bad, and what is done about it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import Field

from query import cursors, preconditions
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Reading, Taken
from query.parameters import CursorText, Limit, Prefix
from query.parts import Wired
from query.preconditions import IfMatch
from query.problems import bad_parameter
from schemas.problems import described
from schemas.rules import Rule, RuleName

MOST = 2_000
"""Rules of one tenant: the processes that evaluate them keep all in memory."""

_PATH = "/api/v1/rules"

NameInPath = Annotated[
    RuleName, Path(max_length=140, description="The rule's name.", examples=["items-slow"])
]


class StoredRule(Answer):
    """A rule, and which version of it."""

    rule: Rule
    version: int = Field(description="counts its changes")
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Names this version."""
        return preconditions.tag(self.version, self.created_at)


class RulePage(Answer):
    """Rules by name."""

    rules: list[StoredRule]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


router = APIRouter(prefix=_PATH, tags=["rules"], responses=described(401, 403, 422, 503, 504))


@router.get("", summary="Rules by name", response_model_by_alias=True)
async def list_rules(
    *,
    parts: Wired,
    tenant: Tenant,
    prefix: Prefix = "",
    limit: Limit = 1000,
    cursor: CursorText = None,
) -> RulePage:
    """Page through the rules whose names begin with `prefix`.

    Those that definitions stand for by their `alert_threshold` are with the definitions.
    """
    after = cursors.after(cursor, cursors.Name, prefix)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows("list_rules", prefix, after and after.name, limit + 1)
    found = [_stored(row) for row in rows[:limit]]
    last = cursors.Name(found[-1].rule.name) if len(rows) > limit else None
    return RulePage(rules=found, next_cursor=cursors.following(last, prefix))


@router.post(
    "",
    status_code=201,
    summary="Make a rule",
    responses={**described(400, 409, 413), **preconditions.MADE},
)
async def create_rule(
    parts: Wired, tenant: AdminTenant, rule: Rule, response: Response
) -> StoredRule:
    """Make a rule of a name that no rule has yet. It is evaluated within two seconds."""
    if ":" in rule.name:
        raise bad_parameter("name", "belongs to a definition: set its alert_threshold instead")
    try:
        async with parts.database.writing(tenant) as writing:
            rows = await writing.rows("create_rule", rule.name, rule.document, MOST)
    except Taken as error:
        raise HTTPException(
            409, f"There is a rule {rule.name!r} already: PUT it to change it."
        ) from error
    if not rows:
        raise HTTPException(409, f"There are {MOST} rules: delete some first.")
    stored = _stored(rows[0])
    preconditions.made(stored.etag, f"{_PATH}/{quote(rule.name, safe='')}", response)
    return stored


@router.get(
    "/{name}",
    summary="One rule",
    responses={**described(404), **preconditions.SHOWN},
)
async def get_rule(
    parts: Wired, tenant: Tenant, name: NameInPath, request: Request, response: Response
) -> StoredRule:
    """Show a rule; its ETag is what a change must name."""
    async with parts.database.reading(tenant) as reading:
        stored = await _get(reading, "get_rule", name)
    preconditions.show(stored.etag, request, response)
    return stored


@router.put(
    "/{name}",
    summary="Replace a rule",
    responses={**described(400, 404, 412, 413, 428), **preconditions.TAGGED},
)
async def replace_rule(
    *,
    parts: Wired,
    tenant: AdminTenant,
    name: NameInPath,
    rule: Rule,
    response: Response,
    if_match: IfMatch = None,
) -> StoredRule:
    """Replace all of a rule. Alerts of series that it still matches go on."""
    if rule.name != name:
        raise bad_parameter("name", "a rule keeps its name: make another, and delete this one")
    named = preconditions.require(if_match)
    async with parts.database.writing(tenant) as writing:
        preconditions.check(named, (await _get(writing, "hold_rule", name)).etag)
        (row,) = await writing.rows("replace_rule", name, rule.document)
    stored = _stored(row)
    response.headers["ETag"] = stored.etag
    return stored


@router.delete("/{name}", summary="Delete a rule", responses=described(404, 412, 428))
async def delete_rule(
    *, parts: Wired, tenant: AdminTenant, name: NameInPath, if_match: IfMatch = None
) -> StoredRule:
    """Delete a rule; its alerts resolve."""
    named = preconditions.require(if_match)
    async with parts.database.writing(tenant) as writing:
        stored = await _get(writing, "hold_rule", name)
        preconditions.check(named, stored.etag)
        await writing.rows("delete_rule", name)
    return stored


async def _get(reading: Reading, query: str, name: str) -> StoredRule:
    rows = await reading.rows(query, name)
    if not rows:
        raise HTTPException(404, f"There is no rule {name!r}: POST one to {_PATH}")
    return _stored(rows[0])


def _stored(row: Mapping[str, Any]) -> StoredRule:
    columns = dict(row)
    rule = Rule.model_validate_json(columns.pop("document"))
    return StoredRule(rule=rule, **columns)
