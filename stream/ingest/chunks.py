"""Faust's consumer, made to hand over chunks: one event per fetched chunk of a partition.

Stock Faust makes four asyncio tasks a record and ends at 4,000 to 9,000 records/s; a chunk an event moves
400,000. Overrides private API of faust-streaming 0.15.3: the version is pinned, and
`tests/contract/test_chunks.py` fails when the pieces move.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from schemas.batches import Chunk, Claim, Record, Source
from schemas.errors import Restart

log = logging.getLogger(__name__)

CHUNK_BYTES = 512 * 1024
"""Largest chunk, in raw bytes (one record may exceed it): bounds what waits in Faust's queues."""
CHUNK_RECORDS = 4096
_UNFETCHED = 30.0
"""Seconds that records of one partition may wait for us before others are fetched without it."""


class Positions(Protocol):
    """Where to consume from; the database knows, not Kafka."""

    async def starts(
        self, earliest: dict[Source, int], ends: dict[Source, int]
    ) -> dict[Source, int]:
        """The offset to start at in each partition, given what the broker holds: [earliest, end)."""
        ...


class ChunkedConsumer(driver.Consumer):
    """Delivers `Chunk`s and starts from `transport.positions`."""

    transport: "ChunkedTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at: dict[TP, int] = {}
        """First offset not handed over yet, of each partition that is sought and assigned."""
        self._sought: dict[TP, int] = {}
        """Positions that were sought because of a gap; one that shows the gap again really has it."""

    async def perform_seek(self) -> None:
        """Start each assigned partition where the database stands.

        Faust calls it after every rebalance, for its own seek to the offsets committed to Kafka. Those
        lag behind and are not asked for. Until it is done nothing is delivered.
        """
        self.at, self._sought = {}, {}
        wanted = {tp for tp in self.assignment() if tp.topic == self.transport.topic}
        if not wanted:
            return
        # The client's 0.1 s are short beside a batch. A fetch of only those partitions that have nothing
        # waits 1.5 s at the broker, and nothing else is fetched meanwhile: a busy partition among idle
        # ones came to half of its speed.
        self._thread._ensure_consumer()._fetcher._prefetch_backoff = _UNFETCHED  # noqa: SLF001 # no setting for it
        try:
            earliest = await self.earliest_offsets(*wanted)
            ends = await self.highwaters(*wanted)
            starts = await self.transport.positions.starts(
                {Source(*tp): earliest[tp] for tp in wanted},
                {Source(*tp): ends[tp] for tp in wanted},
            )
            at = {tp: starts[Source(*tp)] for tp in wanted}
            await self.seek_wait(at)
        except IllegalStateError:
            log.info(
                "the partitions changed again while they were sought; the next assignment seeks"
            )
            return
        self.at = at
        # Faust's own drop of old records is not used here; None keeps it out of the way.
        self._read_offset.update(dict.fromkeys(wanted))

    def on_buffer_full(self, tp: TP) -> None:
        """Leave the partition among those that are asked for; Faust would take it out.

        Its queue blocks when it is full, which is all it takes to stop us; and a wait for records that
        began without the partition ends a second later, however soon there is room again.
        """

    @property
    def settled(self) -> bool:
        """Whether the group has given us our partitions (a spare worker: none) and they are sought."""
        joined = self.app.consumer_generation_id > 0 and not self.app.rebalancing
        return bool(self.at) or (joined and not self.assignment())

    async def lag(self) -> dict[Source, int]:
        """Records in Kafka behind what was handed over, by partition.

        From the client's position, which passes over the markers of transactions as `at` does not.
        """
        found = {}
        for tp in list(self.at):
            # Gone in the meantime: the client asserts that a partition is assigned.
            with contextlib.suppress(AssertionError, IllegalStateError):
                position = max(await self.position(tp) or 0, self.at.get(tp, 0))
                found[Source(*tp)] = max(0, (self.highwater(tp) or 0) - position)
        return found

    async def told(self) -> dict[Source, int]:
        """When Kafka last said that it has nothing behind what was handed over, by partition.

        Microseconds since the epoch. A partition that has more is left out, and one that Kafka has
        not answered for since it was assigned. While Kafka is away the times stay what they are.
        """
        # Before the ends are looked at, which are of this time or later.
        answered = {tp: self._answered(tp) for tp in list(self.at)}
        lag = await self.lag()
        return {
            Source(*tp): at * 1000
            for tp, at in answered.items()
            if at is not None and lag.get(Source(*tp)) == 0
        }

    def _answered(self, tp: TP) -> int | None:
        """Time of the newest answer to a fetch, in milliseconds."""
        with contextlib.suppress(AssertionError, IllegalStateError):
            at: int | None = self._thread._ensure_consumer().last_poll_timestamp(tp)  # noqa: SLF001 # Faust passes on the ends, not their time
            return at
        return None

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._has_stopped() or cast("Service", fetcher)._stopped.is_set()):  # noqa: SLF001 # as Faust's own loop asks
                await self.sleep(0)
                records, active = await self._wait_next_records(1.0)
                # With the flow off a rebalance is under way, and Faust seeks when it is over.
                if records and self.flow_active and not self.should_stop:
                    await self._deliver(records, active)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    def _has_stopped(self) -> bool:
        return bool(cast("Service", self)._stopped.is_set())  # noqa: SLF001 # as Faust's own loop asks

    async def _deliver(
        self, fetched: Mapping[TP, Sequence[Record]], active: set[TP] | None
    ) -> None:
        for tp, records in fetched.items():
            if active is not None and tp not in active:
                continue
            if tp in self.at and await self._follows(tp, records[0].offset):
                await self._deliver_partition(tp, records)

    async def _deliver_partition(self, tp: TP, records: Sequence[Record]) -> None:
        first = 0
        while first < len(records) and tp in self.at and self.flow_active:
            chunk = self._chunk(tp, records, first)
            message = self._message(tp, chunk)
            await self.wait_first(self.callback(message), self.suspend_flow.wait())
            # A rebalance in between has sought anew: the rest belongs to someone, but not here.
            if not self.flow_active or self.at.get(tp) != chunk.claim.start:
                return
            self.at[tp] = chunk.claim.end
            first += len(chunk.records)

    def _chunk(self, tp: TP, records: Sequence[Record], first: int) -> Chunk:
        """The records from `first` on that make a chunk; at least one."""
        end, size = first, 0
        while end < len(records) and size < CHUNK_BYTES and end - first < CHUNK_RECORDS:
            size += len(records[end].value or b"")
            end += 1
        claim = Claim(self.at[tp], records[end - 1].offset + 1)
        return Chunk(Source(*tp), claim, records[first:end])

    async def _follows(self, tp: TP, offset: int) -> bool:
        """Whether a fetch that begins at `offset` goes on where we stand.

        One that does not may be left from before a seek, so it is thrown away and sought again. A gap
        that comes back is real: numbers that compaction or a transaction left out, which is no loss, or
        records that Kafka deleted, which stops us; the next start measures it.
        """
        at = self.at[tp]
        if offset == at:
            return True
        if self._sought.get(tp) != at:
            self._sought[tp] = at
            with contextlib.suppress(IllegalStateError):  # taken away meanwhile
                await self.seek_wait({tp: at})
            return False
        if offset < at or (await self.earliest_offsets(tp))[tp] > at:
            raise Restart(
                f"{tp} jumped from offset {at} to {offset}: start again and measure the gap"
            )
        return True

    def _message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        last = chunk.records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            None,
            None,
            cast("bytes", chunk),  # Faust passes a raw value through untouched
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _new_offset(self, tp: TP) -> int | None:
        """Chunks of a partition are acknowledged in order: the highest one may be committed to Kafka."""
        acked = self._acked[tp]
        if not acked:
            return None
        highest = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return int(highest) + 1


class ChunkedTransport(driver.Transport):
    """Faust's aiokafka transport with the chunked consumer."""

    Consumer = ChunkedConsumer
    positions: Positions
    topic: str
