"""The outbox of watched samples: posted in a batch's transaction, read and emptied by who publishes.

Whoever publishes a lane (the rows of one source for one partition of the watched topic) does so in its
order, each row after Kafka has all before it. Rows are only ever added behind, by the writer that holds
the source's offset row: so two who publish the same lane, as a process does that was thought dead, do no
more than repeat, and the reader tells a repeated record by its place.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from schemas.batches import Source
from schemas.named_queries import load
from schemas.watched import Place, WatchedSeries
from sinks.copy import Connection
from sinks.tallies import source_columns
from sinks.transactions import Pool

_SQL = load("sinks.sql", "watched.sql")


class Lane(NamedTuple):
    """Rows of one source for one partition of the watched topic: they are published in order."""

    source: Source
    partition: int


class Parcel(NamedTuple):
    """A row: one record of the watched topic."""

    lane: Lane
    place: Place
    payload: bytes


async def post(connection: Connection, group: str, parcels: Sequence[Parcel]) -> None:
    """Add rows in the connection's transaction. Raises what asyncpg raises."""
    await connection.execute(_SQL["post"], group, *_keys(parcels), [p.payload for p in parcels])


class Outbox:
    """What one consumer group has to publish, and who the series in it are."""

    def __init__(self, pool: Pool, group: str) -> None:
        self._pool = pool
        self._group = group

    async def waiting(
        self, sources: Iterable[Source], partitions: int, most: int
    ) -> dict[Lane, list[Parcel]]:
        """The oldest rows of each lane of these sources, at most so many of each, in order."""
        rows = await self._pool.fetch(
            _SQL["waiting"], self._group, *source_columns(sorted(sources)), partitions, most
        )
        found: dict[Lane, list[Parcel]] = {}
        for row in rows:
            lane = Lane(Source(row["topic"], row["partition"]), row["watched_partition"])
            place = Place(row["epoch"], row["start_offset"], row["part"])
            found.setdefault(lane, []).append(Parcel(lane, place, row["payload"]))
        return found

    async def published(self, parcels: Sequence[Parcel]) -> None:
        """Take out what Kafka has."""
        await self._pool.execute(_SQL["published"], self._group, *_keys(parcels))

    async def expire(self, after: timedelta) -> int:
        """Take out what has waited for longer, and return how many rows that were."""
        return int(await self._pool.fetchval(_SQL["expire"], self._group, after))

    async def backlog(self) -> tuple[int, float]:
        """How many rows wait, and for how many seconds the oldest has."""
        row = await self._pool.fetchrow(_SQL["backlog"], self._group)
        return row["rows"], row["seconds"]

    async def describe(
        self, ids: Sequence[int], metrics: Collection[tuple[UUID, str]]
    ) -> list[WatchedSeries]:
        """Of these series, those of one of these metrics of a tenant. Raises what asyncpg raises."""
        tenants, names = [tenant for tenant, _ in metrics], [name for _, name in metrics]
        rows = await self._pool.fetch(_SQL["describe"], ids, tenants, names)
        return [WatchedSeries(*row) for row in rows]


def _keys(parcels: Sequence[Parcel]) -> tuple[Any, ...]:
    """Columns of the rows' keys, but for the group."""
    return (
        *source_columns([p.lane.source for p in parcels]),
        [p.lane.partition for p in parcels],
        [p.place.epoch for p in parcels],
        [p.place.start for p in parcels],
        [p.place.part for p in parcels],
    )
