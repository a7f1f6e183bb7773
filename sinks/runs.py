"""Runs in the database: what their events say, and the steps that turn raw points into aggregates.

Every method may be called again with the same arguments, by a retry or by another process: the rows
come out the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import asyncpg

from schemas.errors import Invalid, Permanent
from schemas.named_queries import load
from schemas.runs import RunAborted, RunEvent, RunFinished, RunStarted
from schemas.thresholds import Judgement, Selection, Statistics
from sinks.outages import is_row_error
from sinks.run_states import Run, State, phase
from sinks.transactions import HOUR, Transactions

_SQL = load("sinks.sql", "runs.sql")


class CountsDisagreeError(Permanent):
    """A run's points are not all accounted for: its raw points must stay until a person has looked."""


@dataclass(frozen=True)
class Behind:
    """A partition that ingest has not read far enough; `left` records are still to come."""

    topic: str
    partition: int
    left: int


@dataclass(frozen=True)
class Landed:
    """What the ledger says became of a run's points from one partition."""

    topic: str
    partition: int
    stored: int
    dead_lettered: int


@dataclass(frozen=True)
class Counts:
    """Raw points there are, points the ledger calls stored, points the summaries hold."""

    raw: int
    stored: int
    summarised: int
    ledger: tuple[Landed, ...]


class RunStore(Transactions):
    """Runs through a pool in the role headrace_writer.

    Methods raise Temporary while the database is away, and Permanent when it refuses for a reason
    that only a person can mend, such as a run that does not exist.
    """

    async def check(self) -> None:
        """Raise Temporary while the database is away, Permanent when it lacks the schema."""
        async with self.transaction() as connection:
            await connection.execute(_SQL["check"])

    async def record(self, event: RunEvent) -> State:
        """Take an event into its run and return the state that follows.

        Raises Invalid for an unknown tenant, another tenant's run, or text that can't be stored.
        """
        started = event if isinstance(event, RunStarted) else None
        finished = event if isinstance(event, RunFinished) else None
        async with self.transaction() as connection:
            try:
                row = await connection.fetchrow(
                    _SQL["record_event"],
                    event.execution_id,
                    event.tenant_id,
                    started.test if started else None,
                    started.script if started else None,
                    event.at,
                    event.runner,
                    json.dumps({event.event: event.model_dump(mode="json")}),
                    json.dumps(finished.metrics if finished else {}),
                    finished.at if finished else None,
                    json.dumps(started.tags if started else {}),
                    started is not None and started.keep_raw,
                )
            except asyncpg.ForeignKeyViolationError as error:
                raise Invalid("unknown_tenant", f"There is no tenant {event.tenant_id}.") from error
            except asyncpg.PostgresError as error:
                if not is_row_error(error):
                    raise
                raise Invalid("refused_by_database", str(error)) from error
            if row is None:
                raise Invalid(
                    "wrong_tenant",
                    f"Run {event.execution_id} belongs to another tenant than {event.tenant_id}.",
                )
            state = phase(run_of(row))
            await connection.execute(_SQL["set_state"], event.execution_id, state)
            return state

    async def load(self, execution: UUID) -> Run:
        """Return a run."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["load_run"], execution)
        if row is None:
            raise Permanent(f"There is no run {execution}: its events have not been handled.")
        return run_of(row)

    async def behind(self, run: Run, consumer_group: str) -> list[Behind]:
        """Return the partitions in which ingest has not stored all that the runners sent."""
        last: dict[tuple[str, int], int] = {}
        for finished in run.finished:
            for sent in finished.sent:
                key = finished.topic, sent.partition
                last[key] = max(last.get(key, 0), sent.last_offset)
        return await self.not_passed(last, consumer_group)

    async def not_passed(
        self, last: Mapping[tuple[str, int], int], consumer_group: str
    ) -> list[Behind]:
        """Return those of these partitions whose offset ingest has not stored yet."""
        async with self.transaction() as connection:
            rows = await connection.fetch(
                _SQL["behind"],
                consumer_group,
                [topic for topic, _ in last],
                [partition for _, partition in last],
                list(last.values()),
            )
        return [Behind(*row) for row in rows]

    async def aggregate(self, execution: UUID) -> int:
        """Compute the aggregates anew and return how many rows; 0 once the raw points are deleted."""
        async with self.long_transaction() as connection:
            written: int = await connection.fetchval(_SQL["aggregate"], execution, timeout=HOUR)
        return written

    async def statistics(
        self,
        execution: UUID,
        selections: Sequence[Selection],
        kinds: Sequence[str],
        fractions: Sequence[float],
    ) -> list[Statistics]:
        """Compute statistics over the raw points of each selection, whose metric has the type `kinds`."""
        async with self.long_transaction() as connection:
            rows = await connection.fetch(
                _SQL["statistics"],
                execution,
                [selection.metric for selection in selections],
                [json.dumps(dict(selection.tags)) for selection in selections],
                kinds,
                fractions,
                timeout=HOUR,
            )
        return [
            Statistics(
                **{
                    **row,
                    "percentiles": dict(zip(fractions, row["percentiles"] or (), strict=False)),
                }
            )
            for row in rows
        ]

    async def save_judgements(self, execution: UUID, judgements: Sequence[Judgement]) -> None:
        """Store the verdicts on thresholds, unless the raw points behind them are gone."""
        text = json.dumps([asdict(judgement) for judgement in judgements])
        async with self.transaction() as connection:
            await connection.execute(_SQL["save_thresholds"], execution, text)

    async def counts(self, execution: UUID) -> Counts:
        """Count the run's points in each place where they are counted."""
        async with self.long_transaction() as connection:
            totals = await connection.fetchrow(_SQL["counts"], execution, timeout=HOUR)
            ledger = await connection.fetch(_SQL["ledger"], execution)
        return Counts(
            raw=totals["raw"],
            stored=totals["stored"],
            summarised=totals["summarised"],
            ledger=tuple(Landed(*row) for row in ledger),
        )

    async def clean_up(self, execution: UUID) -> None:
        """Delete the raw points. Raises CountsDisagreeError when the aggregates don't hold all of them."""
        async with self.long_transaction() as connection:
            try:
                await connection.execute(_SQL["cleanup"], execution, timeout=HOUR)
            except asyncpg.IntegrityConstraintViolationError as error:
                raise CountsDisagreeError(f"{error} {error.hint}") from error

    async def finish(self, execution: UUID, verdict: str) -> None:
        """Close the run with its verdict: passed or failed."""
        async with self.transaction() as connection:
            await connection.execute(_SQL["finish"], execution, verdict)


def run_of(row: asyncpg.Record) -> Run:
    """The run that a row describes."""
    events = {
        kind: [runner[kind] for runner in json.loads(row["runners"]).values() if kind in runner]
        for kind in ("started", "finished", "aborted")
    }
    return Run(
        state=row["state"],
        started=tuple(RunStarted.model_validate(event) for event in events["started"]),
        finished=tuple(RunFinished.model_validate(event) for event in events["finished"]),
        aborted=tuple(RunAborted.model_validate(event) for event in events["aborted"]),
        metrics=json.loads(row["metrics"]),
        judgements=tuple(Judgement(**judgement) for judgement in json.loads(row["thresholds"])),
        raw_deleted=row["raw_deleted"],
        incomplete=row["incomplete"],
        seconds=row["seconds"],
    )
