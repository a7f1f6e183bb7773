"""`headrace k6 backfill`: runs that have raw points and no aggregates."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer

from deploy.cli.context import resolve
from deploy.cli.k6.shared import Json, progress_bar, say
from schemas.settings import Settings
from sinks.backfill import Backfill, Candidate
from sinks.database import connect_pool
from sinks.outages import OUTAGE, classify


@dataclass(frozen=True)
class _Report:
    """What was found, and of it what was done: runs and their rows."""

    found: Sequence[Candidate]
    done: dict[UUID, int]
    unannounced: Sequence[tuple[UUID, int]]


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command("backfill")(backfill)


def backfill(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    rate: Annotated[
        int, typer.Option(min=1, help="Points a second at the most; the database rests meanwhile.")
    ] = 250_000,
    as_json: Json = False,
) -> None:
    """Aggregate runs that have raw points and no aggregates, or those of an older version.

    Whatever their state: runs from before an upgrade, whose worker was away, that were never finished;
    but not those that still go on. A run is one transaction: interrupted, the same command goes on.
    Verdicts, states and raw points stay as they are.

        headrace k6 backfill --dry-run
        headrace k6 backfill --rate 100000
    """
    settings = Settings()
    report = asyncio.run(
        _work(resolve(settings, "database").database, settings.run_grace, rate, dry_run=dry_run)
    )
    for one in report.found:
        rows = report.done.get(one.execution)
        done = "would be aggregated" if rows is None else f"{rows:,} rows"
        say(
            f"{one.execution} {one.test} ({one.state}, {one.points:,} points, {one.reason}): {done}"
        )
    for execution, points in report.unannounced:
        say(f"{execution}: {points:,} points, but no event of such a run came; left alone")
    if not report.found:
        say("every run with raw points is aggregated")
    if as_json:
        print(json.dumps(_facts(report)))


async def _work(dsn: str, grace: timedelta, rate: int, *, dry_run: bool) -> _Report:
    try:
        async with await connect_pool(dsn, role="headrace_writer", application="backfill") as pool:
            runs = Backfill(pool)
            found, done = await runs.find(grace), dict[UUID, int]()
            if not dry_run:
                with progress_bar() as bar:
                    task = bar.add_task("aggregating", total=sum(one.points for one in found))
                    for one in found:
                        bar.update(task, description=f"{one.test} {one.started_at:%Y-%m-%d %H:%M}")
                        began = time.monotonic()
                        done[one.execution] = await runs.aggregate(one.execution)
                        bar.advance(task, one.points)
                        if one is not found[-1]:
                            rest = one.points / rate - (time.monotonic() - began)
                            await asyncio.sleep(max(0.0, rest))
            return _Report(found, done, await runs.unannounced())
    except OUTAGE as error:
        raise classify(error) from error


def _facts(report: _Report) -> dict[str, object]:
    return {
        "runs": [
            {
                "execution_id": str(one.execution),
                "test": one.test,
                "state": one.state,
                "started_at": one.started_at.isoformat(),
                "points": one.points,
                "reason": one.reason,
                "rows": report.done.get(one.execution),
            }
            for one in report.found
        ],
        "unannounced": [
            {"execution_id": str(execution), "points": points}
            for execution, points in report.unannounced
        ],
    }
