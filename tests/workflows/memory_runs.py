"""One run in memory, behind the same port as `sinks.runs.RunStore`, and able to fail on demand."""

# ruff: noqa: ARG002 - the port's parameters; one run in memory needs few of them

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from schemas.errors import Temporary
from schemas.runs import PartitionSent, RunFinished, RunStarted, Threshold
from schemas.thresholds import Judgement, Selection, Statistics
from sinks.run_states import Run
from sinks.runs import Behind, Counts, CountsDisagreeError, Landed

EXECUTION = UUID("01900000-0000-7000-8000-000000000001")
_TENANT = UUID(int=1)
_BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)


@dataclass
class MemoryRuns:
    """`values` are the points of the metric `latency`, all sent to partition 0.

    `outages` maps a method to how often it fails before it works; `calls` lists what was called.
    """

    values: list[float] = field(default_factory=lambda: [1.0, 2.0, 3.0])
    threshold: str = "max<5"
    behind_for: int = 0
    lost: int = 0
    """Points that the ledger misses; `found_at` is the call of `counts` from which it has them."""
    found_at: int | None = None
    outages: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    summarised: int = 0
    verdict: str | None = None
    run: Run = field(init=False)

    def __post_init__(self) -> None:
        """Announce and finish the run."""
        sent = [PartitionSent(partition=0, points=len(self.values), last_offset=9)]
        self.run = Run(
            state="aggregating",
            started=(
                RunStarted(
                    execution_id=EXECUTION,
                    tenant_id=_TENANT,
                    at=_BEGAN,
                    runner="a",
                    test="checkout",
                    script="checkout.js",
                ),
            ),
            finished=(
                RunFinished(
                    execution_id=EXECUTION,
                    tenant_id=_TENANT,
                    at=_BEGAN + timedelta(seconds=10),
                    runner="a",
                    topic="samples",
                    sent=sent if self.values else [],
                    exit_code=0,
                    metrics={"latency": "trend"},
                    thresholds=[Threshold(metric="latency", expression=self.threshold)],
                ),
            ),
            aborted=(),
            metrics={"latency": "trend"},
        )

    async def load(self, execution: UUID) -> Run:
        """Return the run."""
        assert execution == EXECUTION
        return self.run

    async def behind(self, run: Run, consumer_group: str) -> list[Behind]:
        """Be behind for a while."""
        assert (run, consumer_group) == (self.run, "ingest")
        self._call("behind")
        self.behind_for -= 1
        return [Behind("samples", 0, 3)] if self.behind_for >= 0 else []

    async def aggregate(self, execution: UUID) -> int:
        """Sum up, unless the raw points are gone."""
        self._call("aggregate")
        if self.run.raw_deleted:
            return 0
        self.summarised = len(self.values)
        return 1 if self.values else 0

    async def statistics(
        self,
        execution: UUID,
        selections: Sequence[Selection],
        kinds: Sequence[str],
        fractions: Sequence[float],
    ) -> list[Statistics]:
        """Of the one metric there is."""
        self._call("statistics")
        values = self.values
        return [
            Statistics(n=len(values), sum=sum(values), min=min(values), max=max(values))
            if values
            else Statistics()
            for _ in selections
        ]

    async def save_judgements(self, execution: UUID, judgements: Sequence[Judgement]) -> None:
        """Keep them in the run."""
        self._call("save_judgements")
        if not self.run.raw_deleted:
            self.run = replace(self.run, judgements=tuple(judgements))

    async def counts(self, execution: UUID) -> Counts:
        """Miss what is lost, until it is found."""
        self._call("counts")
        found = self.found_at is not None and self.calls.count("counts") >= self.found_at
        stored = len(self.values) - (0 if found else self.lost)
        ledger = (Landed("samples", 0, stored, 0),) if self.values else ()
        return Counts(raw=stored, stored=stored, summarised=stored, ledger=ledger)

    async def clean_up(self, execution: UUID) -> None:
        """Delete the raw points, if they are summed up."""
        self._call("clean_up")
        if not self.run.raw_deleted and self.summarised != len(self.values):
            raise CountsDisagreeError("The aggregates don't hold all points.")
        self.run = replace(self.run, raw_deleted=True)

    async def finish(self, execution: UUID, verdict: str) -> None:
        """Close the run."""
        self._call("finish")
        self.verdict = verdict
        self.run = replace(self.run, state="finished")

    def _call(self, method: str) -> None:
        self.calls.append(method)
        if self.outages.get(method, 0) > 0:
            self.outages[method] -= 1
            raise Temporary("The database is away.")
