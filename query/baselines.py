"""Routes of baselines: runs of a test that its others are compared with, pinned under a name."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from query import cursors, paths
from query.answers import Answer
from query.credentials import AdminTenant, Tenant
from query.database import Database, Reading
from query.parameters import CursorText, Limit, TestName
from query.parts import Wired
from schemas.definitions import Storable
from schemas.errors import Invalid
from schemas.problems import described

DEFAULT = "default"
"""The name of the one that runs are compared with when no other is named."""
LATEST = "latest"
"""Names no baseline: it stands for the latest passing run."""
MOST = 10_000
"""Baselines of one tenant."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Baseline(Answer):
    """A pinned run."""

    test: str = Field(examples=["checkout"])
    name: str = Field(examples=[DEFAULT])
    execution_id: UUID
    set_at: datetime


class BaselinePage(Answer):
    """Baselines by test and name."""

    baselines: list[Baseline]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class Pin(BaseModel):
    """Which run to pin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    execution_id: UUID = Field(description="a finished run of the test")


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    test: str
    name: str


def check_name(name: str) -> str:
    """The name. Raises ValueError when a baseline can't have it."""
    if not _NAME.fullmatch(name) or name == LATEST or _is_id(name):
        raise ValueError(
            f"must be 1 to 64 of A-Z a-z 0-9 . _ -, begin with none of the last three, and be neither "
            f"{LATEST!r} nor the id of a run"
        )
    return name


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


_Test = Annotated[
    Storable, Path(max_length=1024, description="The test's name.", examples=["checkout"])
]
_Name = Annotated[
    str, AfterValidator(check_name), Path(description="The baseline's name.", examples=[DEFAULT])
]
_ONE = f"/{{test:{paths.ANY}}}/{{name}}"

router = APIRouter(
    prefix="/api/v1/baselines", tags=["baselines"], responses=described(401, 403, 422, 503, 504)
)


@router.get("", summary="Baselines by test and name")
async def list_baselines(
    *,
    parts: Wired,
    tenant: Tenant,
    test: TestName = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> BaselinePage:
    """Page through the pinned runs."""
    after = cursors.after(cursor, _Position, test)
    async with parts.database.reading(tenant) as reading:
        rows = await reading.rows(
            "list_baselines", test, after and after.test, after and after.name, limit + 1
        )
    found = [Baseline(**row) for row in rows[:limit]]
    last = _Position(found[-1].test, found[-1].name) if len(rows) > limit else None
    return BaselinePage(baselines=found, next_cursor=cursors.following(last, test))


@router.get(_ONE, summary="One baseline", responses=described(404))
async def get_baseline(parts: Wired, tenant: Tenant, test: _Test, name: _Name) -> Baseline:
    """Show which run is pinned."""
    async with parts.database.reading(tenant) as reading:
        found = await find(reading, test, name)
    if found is None:
        raise HTTPException(404, _missing(test, name))
    return found


@router.put(_ONE, summary="Pin a run", responses=described(400, 404, 409, 413))
async def put_baseline(
    parts: Wired, tenant: AdminTenant, test: _Test, name: _Name, pin: Pin
) -> Baseline:
    """Pin a finished run of the test under this name, instead of the one that had it."""
    try:
        return await pin_run(parts.database, tenant, test, name, pin.execution_id)
    except NoRun as error:
        raise HTTPException(404, str(error)) from error
    except NotFit as error:
        raise HTTPException(409, str(error)) from error


@router.delete(_ONE, summary="Remove a baseline, not its run", responses=described(404))
async def delete_baseline(parts: Wired, tenant: AdminTenant, test: _Test, name: _Name) -> Baseline:
    """Take the name off the run; says which run that was."""
    try:
        return await unpin(parts.database, tenant, test, name)
    except NoRun as error:
        raise HTTPException(404, str(error)) from error


class NoRun(Invalid):
    """There is no such run or baseline of this tenant."""

    def __init__(self, detail: str) -> None:
        super().__init__("no_run", detail)


class NotFit(Invalid):
    """The run is there, but can't be used for this, or not yet."""

    def __init__(self, detail: str) -> None:
        super().__init__("not_fit", detail)


async def find(reading: Reading, test: str, name: str) -> Baseline | None:
    """The baseline of a test by its name."""
    rows = await reading.rows("get_baseline", test, name)
    return Baseline(**rows[0]) if rows else None


async def pin_run(
    database: Database, tenant: UUID, test: str | None, name: str, execution_id: UUID
) -> Baseline:
    """Pin a run, of this test where one is named. Raises NoRun and NotFit."""
    async with database.reading(tenant) as reading:
        rows = await reading.rows("find_run", execution_id)
    if not rows:
        raise NoRun(f"You have no run {execution_id}.")
    run = rows[0]
    if test is not None and run["test"] != test:
        raise NotFit(f"Run {execution_id} is of test {run['test']!r}, not of {test!r}.")
    if run["state"] != "finished":
        raise NotFit(f"Run {execution_id} is {run['state']}: pin one that finished.")
    async with database.writing(tenant) as writing:
        rows = await writing.rows("set_baseline", run["test"], name, execution_id, MOST)
    if not rows:
        raise NotFit(f"There are {MOST} baselines: remove some first.")
    return Baseline(**rows[0])


async def unpin(database: Database, tenant: UUID, test: str, name: str) -> Baseline:
    """Remove a baseline. Raises NoRun when there is none."""
    async with database.writing(tenant) as writing:
        rows = await writing.rows("remove_baseline", test, name)
    if not rows:
        raise NoRun(_missing(test, name))
    return Baseline(**rows[0])


def _missing(test: str, name: str) -> str:
    return f"Test {test!r} has no baseline {name!r}."
