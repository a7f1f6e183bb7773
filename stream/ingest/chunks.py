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
        self._seeks = 0

    async def perform_seek(self) -> None:
        """Start each assigned partition where the database stands.

        Faust calls it after every rebalance, and it follows Faust's own seek to the offsets committed
        to Kafka, which lag behind and are not trusted. Until it is done nothing is delivered: what the
        fetcher holds from before belongs to other positions.
        """
        self._seeks += 1
        self.at = {}
        await super().perform_seek()
        wanted = {tp for tp in self.assignment() if tp.topic == self.transport.topic}
        if not wanted:
            return
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

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._has_stopped() or cast("Service", fetcher)._stopped.is_set()):  # noqa: SLF001 # as Faust's own loop asks
                await self.sleep(0)
                seeks = self._seeks
                records, active = await self._wait_next_records(1.0)
                # With the flow off a rebalance is under way, and Faust seeks when it is over.
                if records and self.flow_active and not self.should_stop:
                    await self._deliver(records, active, seeks)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    def _has_stopped(self) -> bool:
        return bool(cast("Service", self)._stopped.is_set())  # noqa: SLF001 # as Faust's own loop asks

    async def _deliver(
        self, fetched: Mapping[TP, Sequence[Record]], active: set[TP] | None, seeks: int
    ) -> None:
        """Hand the records over, until a seek makes them records of another position."""
        for tp, records in fetched.items():
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            first = 0
            while first < len(records) and tp in self.at and self._seeks == seeks:
                chunk = self._chunk(tp, records, first)
                first += len(chunk.records)
                await self._check_contiguous(tp, chunk)
                if not self.flow_active or self._seeks != seeks:
                    return
                message = self._message(tp, chunk)
                await self.wait_first(self.callback(message), self.suspend_flow.wait())
                if self._seeks == seeks and self.flow_active:
                    self.at[tp] = chunk.claim.end

    def _chunk(self, tp: TP, records: Sequence[Record], first: int) -> Chunk:
        """The records from `first` on that make a chunk; at least one."""
        end, size = first, 0
        while end < len(records) and size < CHUNK_BYTES and end - first < CHUNK_RECORDS:
            size += len(records[end].value or b"")
            end += 1
        claim = Claim(self.at[tp], records[end - 1].offset + 1)
        return Chunk(Source(*tp), claim, records[first:end])

    async def _check_contiguous(self, tp: TP, chunk: Chunk) -> None:
        """Stop where Kafka deleted what was not read yet, or the topic was made anew.

        The client would go on at another offset in silence. Numbers that are merely left out
        (compaction, transactions) lie above the earliest offset and are no loss.
        """
        at, first = chunk.claim.start, chunk.records[0].offset
        if first == at:
            return
        if first < at or (await self.earliest_offsets(tp))[tp] > at:
            raise Restart(
                f"{tp} jumped from offset {at} to {first}: start again and measure the gap"
            )

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
