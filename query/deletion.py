"""The route that deletes a metric: it says what goes, and then takes it away."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

from query.answers import Answer
from query.credentials import AdminTenant
from query.parameters import MetricInPath
from query.parts import Wired
from query.paths import NAME
from schemas.problems import described


class Removal(Answer):
    """A kind of thing that goes, and how many."""

    what: str = Field(examples=["series", "samples", "sketches", "definitions", "rules", "alerts"])
    n: int
    estimated: bool = Field(description="whether n is only about right")


class MetricRemoval(Answer):
    """What goes with a metric."""

    name: str = Field(examples=["cpu_usage"])
    dry_run: bool = Field(description="true: nothing was removed")
    removes: list[Removal]


router = APIRouter(
    prefix="/api/v1/metrics/data",
    tags=["deletion"],
    responses=described(401, 403, 404, 422, 503, 504),
)


@router.delete(
    NAME,
    status_code=202,
    summary="Delete a metric, its samples and its definition",
    responses={200: {"model": MetricRemoval, "description": "Dry run: nothing was removed"}},
)
async def delete_metric(
    parts: Wired,
    tenant: AdminTenant,
    name: MetricInPath,
    response: Response,
    dry_run: Annotated[bool, Query(description="Only say what would go.")] = False,
) -> MetricRemoval:
    """Delete all series of a metric, its definition and rules, and alerts about it with what was done.

    From the answer on nobody sees them; their rows are deleted in the background. Samples that are
    sent afterwards make the metric anew.
    """
    async with parts.database.writing(tenant) as writing:
        removes = [Removal(**row) for row in await writing.rows("metric_plan", name)]
        if not any(one.n for one in removes if one.what in {"series", "definitions"}):
            raise HTTPException(404, f"You have no metric {name!r}.")
        if not dry_run:
            await writing.rows("forget_metric", name)
    if dry_run:
        response.status_code = 200
    return MetricRemoval(name=name, dry_run=dry_run, removes=removes)
