"""Compares a run with a baseline: the route, and what the commands ask the database with."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

from query import baselines, comparing
from query.answers import Answer
from query.baselines import NoRun, NotFit
from query.comparing import Outcome
from query.credentials import Tenant
from query.database import Reading, Rows
from query.parameters import ExecutionId, Verdict
from query.parts import Wired
from query.run_figures import PHASES, Figures, Quantity, figures, length
from schemas.definitions import Storable
from schemas.errors import Invalid
from schemas.problems import described

RUNS = 20
"""Of which noise is learnt, unless the request says."""
MOST_RUNS = 100
MOST_ROWS = 100_000
"""Of the runs together; a run of fifty endpoints has some three hundred."""


class Compared(Answer):
    """A run that is compared."""

    execution_id: UUID
    test: str = Field(examples=["checkout"])
    verdict: Verdict | None
    started_at: datetime
    finished_at: datetime | None


class ComparisonRow(Answer):
    """A figure in both runs."""

    name: str | None = Field(description="of the endpoint; null: of the whole run")
    method: str | None
    status: str | None
    metric: str = Field(examples=["http_req_duration"])
    quantity: Quantity = Field(description="`failed` is a share (0 to 1), `rate` is by the second")
    baseline: float | None
    run: float | None
    change: float | None = Field(
        description="relative to the baseline; of shares the difference; null where there is none"
    )
    low: float | None = Field(description="from here to `high` it is noise; null: not known")
    high: float | None
    verdict: comparing.Verdict
    changes: int = Field(description="from run to run, of which the noise was learnt")


class Comparison(Answer):
    """What got better or worse."""

    verdict: Outcome = Field(description="regressed if any figure is")
    run: Compared
    baseline: Compared | None = Field(description="null: there is none yet")
    baseline_name: str | None = Field(description="null: it was not named, or by its id")
    runs: int = Field(description="runs before this one that noise was learnt from")
    rows: list[ComparisonRow] = Field(description="what got worse first")

    def count(self, verdict: comparing.Verdict) -> int:
        """Rows of this verdict."""
        return sum(row.verdict == verdict for row in self.rows)


router = APIRouter(
    prefix="/api/v1/runs", tags=["runs"], responses=described(401, 403, 422, 503, 504)
)


@router.get(
    "/{execution_id}/comparison",
    summary="What got better or worse",
    responses=described(404, 409),
)
async def get_comparison(
    *,
    parts: Wired,
    tenant: Tenant,
    execution_id: ExecutionId,
    baseline: Annotated[
        Storable | None,
        Query(
            max_length=100,
            description="Id of a run, name of a baseline of the test, or `latest`: the latest passing run "
            f"before. Default: the baseline named `{baselines.DEFAULT}`, else `latest`.",
            examples=["latest"],
        ),
    ] = None,
    runs: Annotated[
        int,
        Query(ge=0, le=MOST_RUNS, description="Runs before this one to learn the noise from."),
    ] = RUNS,
) -> Comparison:
    """Compare a run with a baseline, per endpoint and metric, beyond the noise of its test.

    Seven runs before it, at least, tell how much a figure varies when nothing changed; until then the
    verdict is `not_enough_data`. So it is for an average or median of fewer than 20 points, a p95 of
    fewer than 200, a p99 of fewer than 1,000.
    """
    async with parts.database.reading(tenant) as reading:
        try:
            return await compare(reading, execution_id, baseline, runs)
        except NoRun as error:
            raise HTTPException(404, str(error)) from error
        except NotFit as error:
            raise HTTPException(409, str(error)) from error


async def find_run(reading: Reading, wanted: str, test: str | None = None) -> UUID:
    """The run that a person means: an id, `latest`, or a baseline's name. Raises NoRun."""
    if wanted == baselines.LATEST:
        rows = await reading.rows("latest_run", test)
        if not rows:
            raise NoRun("There is no finished run" + (f" of test {test!r}." if test else "."))
        return UUID(str(rows[0]["execution_id"]))
    try:
        return UUID(wanted)
    except ValueError:
        pass
    if test is not None:
        found = await baselines.find(reading, test, wanted)
        named = [found.execution_id] if found else []
    else:
        named = [row["execution_id"] for row in await reading.rows("baselines_named", wanted)]
    if len(named) > 1:
        raise NoRun(f"Several tests have a baseline {wanted!r}: say which with the test's name.")
    if not named:
        raise NoRun(f"{wanted!r} is neither the id of a run, nor 'latest', nor a baseline's name.")
    return UUID(str(named[0]))


async def compare(
    reading: Reading, execution_id: UUID, baseline: str | None, runs: int = RUNS
) -> Comparison:
    """Compare a run. Raises NoRun for a run or baseline that is not there, NotFit for one not finished."""
    run = await _finished(reading, execution_id)
    other, name = await _baseline(reading, run, baseline)
    if other is None:
        return answer(run, None, None, [], 0)
    before = await reading.rows("runs_before", *_position(run), runs)
    around = await reading.rows("runs_before", *_position(other), comparing.AROUND)
    every = {one["execution_id"]: one for one in (*before, *around, run, other)}
    rows = await reading.rows("compared_rows", list(every), list(PHASES), MOST_ROWS + 1)
    if len(rows) > MOST_ROWS:
        raise Invalid(
            "too_much", f"The runs have more than {MOST_ROWS:,} rows: take fewer runs than {runs}."
        )
    # In a thread: some thousands of figures take longer than other requests should wait.
    found = await asyncio.to_thread(
        _compared,
        {key: (msgspec.json.decode(one["metrics"]), one["runners"]) for key, one in every.items()},
        rows,
        (
            [one["execution_id"] for one in of]
            for of in ([run], [other], before[::-1], around[::-1])
        ),
    )
    return answer(run, other, name, found, len(before))


async def _finished(reading: Reading, execution_id: UUID) -> Any:
    rows = await reading.rows("find_run", execution_id)
    if not rows:
        raise NoRun(f"You have no run {execution_id}.")
    if rows[0]["state"] != "finished":
        raise NotFit(f"Run {execution_id} is {rows[0]['state']}: there is nothing to compare yet.")
    return rows[0]


async def _baseline(reading: Reading, run: Any, wanted: str | None) -> tuple[Any, str | None]:
    """The run to compare with, None if there is none yet; and its name, if it was found by one."""
    if wanted not in {None, baselines.LATEST}:
        try:
            return await _finished(reading, UUID(wanted)), None
        except ValueError:
            pass
        pinned = await baselines.find(reading, run["test"], str(wanted))
        if pinned is None:
            raise NoRun(
                f"{wanted!r} is neither the id of a run, nor 'latest', nor a baseline of {run['test']!r}."
            )
        return await _finished(reading, pinned.execution_id), pinned.name
    if wanted is None:
        pinned = await baselines.find(reading, run["test"], baselines.DEFAULT)
        if pinned is not None and pinned.execution_id != run["execution_id"]:
            return await _finished(reading, pinned.execution_id), pinned.name
    rows = await reading.rows("latest_passing", *_position(run))
    return (await _finished(reading, rows[0]["execution_id"]) if rows else None), None


def _position(run: Any) -> tuple[str, datetime, UUID]:
    return run["test"], run["started_at"], run["execution_id"]


def _compared(
    facts: dict[UUID, tuple[dict[str, str], str]], rows: Rows, order: Any
) -> list[comparing.Row]:
    by_run: dict[UUID, list[Any]] = {key: [] for key in facts}
    for row in rows:
        by_run[row["execution_id"]].append(row)
    measured: dict[UUID, Figures] = {
        key: figures(by_run[key], types, length(msgspec.json.decode(runners)))
        for key, (types, runners) in facts.items()
    }
    (run,), (other,), before, around = ([measured[key] for key in keys] for keys in order)
    return comparing.compare(run, other, before, around)


def answer(
    run: Any, other: Any, name: str | None, rows: list[comparing.Row], runs: int
) -> Comparison:
    """What was found, as the API tells it; without `other` there was nothing to compare with."""

    def about(one: Any) -> Compared:
        return Compared(**{field: one[field] for field in Compared.model_fields})

    return Comparison(
        verdict=comparing.overall(rows),
        run=about(run),
        baseline=None if other is None else about(other),
        baseline_name=name,
        runs=runs,
        rows=[_row(row) for row in rows],
    )


def _row(row: comparing.Row) -> ComparisonRow:
    subject, change = row.subject, None
    if row.baseline is not None and row.run is not None:
        if subject.quantity == "failed":
            change = row.run - row.baseline
        elif row.baseline:
            change = row.run / row.baseline - 1
    return ComparisonRow(
        name=subject.name,
        method=subject.method,
        status=subject.status,
        metric=subject.metric,
        quantity=subject.quantity,
        baseline=row.baseline,
        run=row.run,
        change=change,
        low=row.low,
        high=row.high,
        verdict=row.verdict,
        changes=row.changes,
    )
