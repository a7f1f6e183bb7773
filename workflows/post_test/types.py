"""What the post-test workflow is given and says, and the port through which it reaches the runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from schemas.thresholds import Judgement, Selection, Statistics
from sinks.run_states import Run
from sinks.runs import Behind, Counts

Verdict = Literal["passed", "failed"]

Step = Literal[
    "waiting for ingest",
    "aggregating",
    "evaluating",
    "verifying",
    "deleting",
    "finishing",
    "finished",
]


@dataclass(frozen=True)
class PostTest:
    """The input: which run, and whose offsets tell that its points are stored."""

    execution_id: UUID
    consumer_group: str


@dataclass(frozen=True)
class Progress:
    """The answer to the query `progress`."""

    step: Step = "waiting for ingest"
    rows: int | None = None
    verdict: Verdict | None = None
    mismatches: list[str] | None = None
    """Why the counts don't agree, while they don't."""


@dataclass(frozen=True)
class Outcome:
    """The result: rows of aggregates written by this workflow, and the run's verdict."""

    rows: int
    verdict: Verdict


class Runs(Protocol):
    """The runs, as `sinks.runs.RunStore` keeps them. Every method may be repeated."""

    async def load(self, execution: UUID) -> Run:
        """Return a run."""
        ...

    async def behind(self, run: Run, consumer_group: str) -> list[Behind]:
        """Return the partitions in which ingest has not stored all that the runners sent."""
        ...

    async def aggregate(self, execution: UUID) -> int:
        """Compute the aggregates anew and return how many rows; 0 once the raw points are deleted."""
        ...

    async def statistics(
        self,
        execution: UUID,
        selections: Sequence[Selection],
        kinds: Sequence[str],
        fractions: Sequence[float],
    ) -> list[Statistics]:
        """Compute statistics over the raw points of each selection, whose metric has the type `kinds`."""
        ...

    async def save_judgements(self, execution: UUID, judgements: Sequence[Judgement]) -> None:
        """Store the verdicts on thresholds, unless the raw points behind them are gone."""
        ...

    async def counts(self, execution: UUID) -> Counts:
        """Count the run's points in each place where they are counted."""
        ...

    async def clean_up(self, execution: UUID) -> None:
        """Delete the raw points. Raises CountsDisagreeError when the aggregates don't hold all of them."""
        ...

    async def finish(self, execution: UUID, verdict: str) -> None:
        """Close the run with its verdict."""
        ...
