"""Decides which runs a dashboard is about: those that the filters let pass, or the newest of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query

from query.database import Reading, Rows
from query.parameters import NO_LABELS, Moment, RunTags, State, TestName, Verdict, tags_of
from query.problems import bad_parameter

MOST_RUNS = 5_000
"""In one answer: thirteen years of nights."""

_EXECUTION = Query(description="Only this run.", examples=["0197a5c0-7d2e-7cc3-98c5-6a1b2f3d4e5f"])
_START = Query(
    description="From when on, RFC 3339 with a zone. Without a time and a run, it is the newest finished "
    "run that the other filters let pass that is asked about.",
    examples=["2026-01-15T00:00:00Z"],
)
_END = Query(description="First moment that is no longer meant. Default: now.")


@dataclass(frozen=True)
class Filters:
    """What a request says of the runs that it means."""

    execution_id: UUID | None = None
    test: str | None = None
    tags: str | None = None
    """JSON of those that a run has among its own."""
    verdict: Verdict | None = None
    state: State | None = None
    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_newest(self) -> bool:
        """Whether one run is meant, and no run or time is named."""
        return self.execution_id is None and self.start is None and self.end is None


async def _filters(
    *,
    execution_id: Annotated[UUID | None, _EXECUTION] = None,
    test: TestName = None,
    tag: RunTags = NO_LABELS,
    verdict: Annotated[Verdict | None, Query(description="Only runs judged so.")] = None,
    state: Annotated[State | None, Query(description="Only runs in this state.")] = None,
    start: Annotated[Moment | None, _START] = None,
    end: Annotated[Moment | None, _END] = None,
) -> Filters:
    if start and end and start >= end:
        raise bad_parameter("start", f"must be before end ({end.isoformat()})")
    return Filters(execution_id, test, tags_of(tag), verdict, state, start, end)


Filtered = Annotated[Filters, Depends(_filters)]


@dataclass(frozen=True)
class Runs:
    """The runs, newest first. Of those that are aggregated there are figures."""

    rows: Rows

    @property
    def ids(self) -> list[UUID]:
        """Of all of them."""
        return [row["execution_id"] for row in self.rows]

    @property
    def only(self) -> UUID | None:
        """The run, when it is one."""
        return self.rows[0]["execution_id"] if len(self.rows) == 1 else None

    @property
    def pending(self) -> int:
        """How many go on or are being aggregated."""
        return sum(row["state"] in {"running", "aggregating"} for row in self.rows)

    def spans(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """From when to when each went, a run that goes on until now."""
        return [
            (row["started_at"], max(row["finished_at"] or now, row["started_at"]))
            for row in self.rows
        ]

    @property
    def seconds(self) -> float:
        """How long those of them went, one after the other, that there are figures of."""
        return sum(seconds_of(row) or 0.0 for row in self.rows if row["state"] == "finished")


def seconds_of(row: Any) -> float | None:
    """How long a run went; None while it does, or when it took no time."""
    if row["finished_at"] is None:
        return None
    seconds: float = (row["finished_at"] - row["started_at"]) / timedelta(seconds=1)
    return seconds if seconds > 0 else None


async def choose(reading: Reading, filters: Filters, *, under_way: bool = False) -> Runs:
    """The runs that are meant; `under_way`: also those that began before the time that is asked for.

    Raises a validation error when they are too many.
    """
    state = filters.state or ("finished" if filters.is_newest else None)
    rows = await reading.rows(
        "k6_runs",
        filters.execution_id,
        filters.test,
        filters.tags,
        filters.verdict,
        state,
        # The time of a run that is named chooses what is shown of it.
        None if filters.execution_id else filters.start,
        None if filters.execution_id else filters.end,
        under_way,
        1 if filters.is_newest else MOST_RUNS + 1,
    )
    if len(rows) > MOST_RUNS:
        raise bad_parameter("start", f"must narrow the time to at most {MOST_RUNS} runs")
    return Runs(rows)
