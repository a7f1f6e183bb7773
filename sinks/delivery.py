"""Exactly once: rows, offsets and ledger in one transaction, and where to go on after anything."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar, cast
from uuid import UUID

import asyncpg
import numpy as np
import pyarrow as pa

from schemas.batches import Batch, Reject, Rows, Source
from schemas.errors import Restart, Temporary
from schemas.named_queries import load
from sinks.copy import Connection, copy_good_rows, copy_rows, encode_ahead
from sinks.marks import touched
from sinks.outages import classify, is_row_error
from sinks.rejections import rejections
from sinks.stalled import end_stalled_writer
from sinks.tallies import source_columns, tally, tally_runs
from sinks.watched import Parcel, post

log = logging.getLogger(__name__)

_SQL = load("sinks.sql", "ingest.sql")
_DAY = 86_400_000_000
T = TypeVar("T")


class Overtaken(Exception):
    """Another writer, or our own commit whose answer got lost, has stored part of this batch.

    `positions` says up to where: decode what lies behind it and write again.
    """

    def __init__(self, positions: dict[Source, int]) -> None:
        super().__init__(f"already stored up to {positions}")
        self.positions = positions


class SeriesForgotten(Exception):
    """Series were deleted after this batch was decoded: decode it again, with nothing remembered."""


class _NotPosted(Exception):
    """The outbox refuses what no retry mends: the batch goes without it."""


@dataclass(frozen=True)
class Written:
    """What a committed batch did, in samples.

    `posted` is what it put into the outbox; `unposted` tells that it should have had something.
    """

    stored: int
    dead_lettered: int
    rejected: int
    posted: Sequence[Parcel] = ()
    unposted: bool = False


Bury = Callable[[Sequence[Reject]], Awaitable[None]]
"""Publishes dead letters and returns when they are acknowledged."""

Forward = Callable[[Rows, Rows], Sequence[Parcel]]
"""Makes of the samples and the points that are stored what the outbox gets. Raises nothing."""


def forward_nothing(samples: Rows, points: Rows) -> Sequence[Parcel]:
    """No rule watches anything."""
    del samples, points
    return ()


class Delivery:
    """Writes batches for one consumer group."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", group: str, *, direct_compress: bool
    ) -> None:
        self._pool = pool
        self._group = group
        self._direct_compress = direct_compress
        self._days: set[int] = set()
        self._executions: set[bytes] = set()
        self.epochs: dict[Source, int] = {}
        """How often each topic was made anew, of the partitions whose positions were asked for."""

    async def positions(self, sources: Iterable[Source]) -> dict[Source, int]:
        """Stored positions; partitions never seen are absent."""
        wanted = sorted(sources)
        rows = await self._pool.fetch(_SQL["positions"], self._group, *source_columns(wanted))
        found = {Source(row["topic"], row["partition"]): row for row in rows}
        self.epochs |= {source: row["epoch"] for source, row in found.items()}
        return {source: row["next_offset"] for source, row in found.items()}

    async def open(self, starts: dict[Source, int]) -> None:
        """Record where consuming starts in partitions never seen before."""
        sources = sorted(starts)
        await self._pool.execute(
            _SQL["open_positions"],
            self._group,
            *source_columns(sources),
            [starts[s] for s in sources],
        )

    async def skip_gap(self, source: Source, *, lost: int, to: int, new_topic: bool) -> None:
        """Record that Kafka deleted `lost` records before they were read, and go on at `to`."""
        async with self._pool.acquire() as connection, connection.transaction():
            epoch = await connection.fetchval(
                _SQL["restart_position"], self._group, *source, to, new_topic
            )
            await self._count(connection, {source: Counter(lost=lost)})
        self.epochs[source] = epoch

    def prepare(self, batch: Batch) -> None:
        """Do of the writing what needs no database, while another batch is written."""
        encode_ahead(batch.samples)
        encode_ahead(batch.points)

    async def write(
        self,
        batch: Batch,
        bury: Bury,
        deduplicated: dict[Source, int],
        forward: Forward = forward_nothing,
    ) -> Written:
        """Make a batch durable: rows, dead letters, ledger and offsets, or nothing of it.

        `deduplicated` are samples of these partitions that were dropped because they are stored
        already. What `forward` makes goes into the outbox in the same transaction; an outbox that
        refuses it is logged, and holds nothing else up. Raises Overtaken, SeriesForgotten, Restart when the stored position lies before the
        batch, and what asyncpg raises.
        """
        try:
            return await self._deliver(batch, bury, deduplicated, forward)
        except _NotPosted:
            log.exception("the outbox of watched samples refuses a batch's")
            written = await self._deliver(batch, bury, deduplicated, forward_nothing)
            return replace(written, unposted=True)

    async def _deliver(
        self, batch: Batch, bury: Bury, deduplicated: dict[Source, int], forward: Forward
    ) -> Written:
        await self._make_room(batch)
        fresh = [reject for reject in batch.rejects if reject.place not in batch.buried]
        if fresh:
            await bury(fresh)
            batch.buried |= {reject.place for reject in fresh}
        try:
            return await self._write(batch, bury, deduplicated, forward, careful=False)
        except asyncpg.ReadOnlySQLTransactionError:
            # The setting is the session's: a new one sees whether it still holds.
            await self._pool.expire_connections()
            raise
        except asyncpg.LockNotAvailableError:
            await end_stalled_writer(self._pool, self._group, batch.claims)
            raise
        except asyncpg.PostgresError as error:
            if not is_row_error(error):
                self._days.clear()
                raise
            # The days and executions we remember may have been dropped since: ask again, then look
            # for the row.
            self._days.clear()
            self._executions.clear()
            await self._make_room(batch)
            return await self._write(batch, bury, deduplicated, forward, careful=True)

    async def _write(
        self,
        batch: Batch,
        bury: Bury,
        deduplicated: dict[Source, int],
        forward: Forward,
        *,
        careful: bool,
    ) -> Written:
        rejects = list(batch.rejects)
        samples, points = batch.samples, batch.points
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["hold_off_forgetting"], self._direct_compress)
            await self._lock(connection, batch)
            if careful:
                samples, refused = await _store(connection, "samples", batch, samples)
                points, more = await _store(connection, "k6_samples", batch, points)
                refused += more
                if refused:
                    await bury(refused)
                    rejects += refused
            else:
                await copy_rows(connection, "samples", samples)
                await copy_rows(connection, "k6_samples", points)
            if samples.data.num_rows:
                await connection.execute(_SQL["mark_dirty"], *touched(_micros(samples)))
            await self._count(connection, tally(batch, samples, points, rejects, deduplicated))
            runs = tally_runs(batch.records, points, rejects)
            if runs:
                await connection.execute(_SQL["count_in_run_ledger"], *runs)
            sources = sorted(batch.claims)
            await connection.execute(
                _SQL["move_positions"],
                self._group,
                *source_columns(sources),
                [batch.claims[s].end for s in sources],
            )
            parcels = forward(samples, points)
            if parcels:
                await self._post(connection, parcels)
            if batch.refusals:
                # Last: the row of a tenant is every worker's, and held until the commit.
                await connection.execute(_SQL["count_rejections"], *rejections(batch.refusals))
        rejected = sum(refusal.samples for refusal in batch.refusals)
        stored = samples.data.num_rows + points.data.num_rows
        return Written(stored, len(rejects), rejected, parcels)

    async def _post(self, connection: Connection, parcels: Sequence[Parcel]) -> None:
        try:
            await post(connection, self._group, parcels)
        except asyncpg.PostgresError as error:
            if isinstance(classify(error), Temporary):
                raise
            raise _NotPosted from error

    async def _lock(self, connection: Connection, batch: Batch) -> None:
        claims = batch.claims
        rows = await connection.fetch(
            _SQL["lock_positions"], self._group, *source_columns(sorted(claims))
        )
        found = {Source(row["topic"], row["partition"]): row for row in rows}
        stored = {source: row["next_offset"] for source, row in found.items()}
        ahead = {s: n for s, n in stored.items() if n > claims[s].start}
        if ahead:
            raise Overtaken(ahead)
        behind = [s for s in claims if stored.get(s, -1) < claims[s].start]
        if behind:
            raise Restart(
                f"The stored position of {behind} lies before what was read: the database was put back "
                "to an earlier state. Start again from its positions."
            )
        if any(row["epoch"] != self.epochs.get(s) for s, row in found.items()):
            raise Restart(
                f"A topic of {list(claims)} was made anew. Start again from its positions."
            )
        if any(row["series_epoch"] != batch.series_epoch for row in rows):
            raise SeriesForgotten

    async def _make_room(self, batch: Batch) -> None:
        days = _days(batch.samples) - self._days
        executions = _executions(batch.points) - self._executions
        if days:
            dates = [datetime.fromtimestamp(day * 86_400, UTC).date() for day in sorted(days)]
            for part in _slices(dates):
                await self._pool.execute(_SQL["ensure_samples"], part)
            self._days |= days
        if executions:
            wanted = [UUID(bytes=execution) for execution in sorted(executions)]
            for some in _slices(wanted):
                await self._pool.execute(_SQL["ensure_executions"], some)
            self._executions |= executions

    async def _count(self, connection: Connection, tally: dict[Source, Counter[str]]) -> None:
        sources = sorted(tally)
        fields = ("received", "stored", "deduplicated", "dead_lettered", "rejected", "lost")
        await connection.execute(
            _SQL["count_in_ledger"],
            self._group,
            *source_columns(sources),
            *([tally[s][field] for s in sources] for field in fields),
        )


def _slices(items: list[T]) -> list[list[T]]:
    """Each partition that is made takes a lock until its transaction ends; the table of locks is small."""
    return [items[i : i + 100] for i in range(0, len(items), 100)]


async def _store(
    connection: Connection, table: str, batch: Batch, rows: Rows
) -> tuple[Rows, list[Reject]]:
    """COPY what the table takes; return that, and the rest as rejects."""
    refused = await copy_good_rows(connection, table, rows)
    executions = rows.data["execution_id"] if "execution_id" in rows.data.schema.names else None
    rejects = [
        Reject(
            record=batch.records[rows.record[position]],
            item=int(rows.item[position]),
            reason="refused_by_database",
            detail=message,
            execution=executions[position].as_py() if executions is not None else None,
        )
        for position, message in refused
    ]
    kept = np.setdiff1d(np.arange(rows.data.num_rows), [position for position, _ in refused])
    return rows.take(kept), rejects


def _days(samples: Rows) -> set[int]:
    """Days since the epoch that have a sample."""
    micros = _micros(samples)
    if not len(micros):
        return set()
    first, last = int(micros.min()) // _DAY, int(micros.max()) // _DAY
    if last - first <= 1:  # as nearly always: to look at each takes ten times as long
        return {first, last}
    return set(np.unique(micros // _DAY).tolist())


def _executions(points: Rows) -> set[bytes]:
    return set(cast("list[bytes]", points.data["execution_id"].unique().to_pylist()))


def _micros(rows: Rows) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.asarray(rows.data["ts"].view(pa.int64()))
