"""Faust's consumer, made to hand over chunks: one event per fetched chunk of a partition.

Stock Faust makes four asyncio tasks a record and ends at 4,000 to 9,000 records/s; a chunk an event moves
400,000. Overrides private API of faust-streaming 0.15.3: the version is pinned, and
`tests/contract/test_chunks.py` fails when the pieces move.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from schemas.batches import Chunk, Claim, Record, Source
from schemas.errors import Restart

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

    async def perform_seek(self) -> None:
        """Start each assigned partition where the database stands.

        Called after every rebalance, behind Faust's own seek to the offsets committed to Kafka, which
        lag behind and are not trusted.
        """
        await super().perform_seek()
        wanted = {tp for tp in self.assignment() if tp.topic == self.transport.topic}
        if not wanted:
            return
        earliest = await self.earliest_offsets(*wanted)
        ends = await self.highwaters(*wanted)
        starts = await self.transport.positions.starts(
            {Source(*tp): earliest[tp] for tp in wanted},
            {Source(*tp): ends[tp] for tp in wanted},
        )
        self.at = {tp: starts[Source(*tp)] for tp in wanted}
        await self.seek_wait(self.at)
        # Faust's own drop of old records is not used here; None keeps it out of the way.
        self._read_offset.update(dict.fromkeys(wanted))

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._has_stopped() or cast("Service", fetcher)._stopped.is_set()):  # noqa: SLF001 # as Faust's own loop asks
                await self.sleep(0)
                records, active = await self._wait_next_records(1.0)
                if records is None or self.should_stop:
                    continue
                if not self.flow_active:
                    await self.perform_seek()
                    continue
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
        generation = self.app.consumer_generation_id
        for tp, records in fetched.items():
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for chunk in self._cut(tp, records):
                # A rebalance in between: the rest belongs to someone else, or is sought again.
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                await self._check_contiguous(tp, chunk)
                message = self._message(tp, chunk, generation)
                await self.wait_first(self.callback(message), self.suspend_flow.wait())
                self.at[tp] = chunk.claim.end

    def _cut(self, tp: TP, records: Sequence[Record]) -> Iterable[Chunk]:
        first, size = 0, 0
        for index, record in enumerate(records):
            size += len(record.value or b"")
            last = index + 1 == len(records)
            if last or size >= CHUNK_BYTES or index + 1 - first >= CHUNK_RECORDS:
                part = records[first : index + 1]
                claim = Claim(self.at[tp], record.offset + 1)
                yield Chunk(Source(*tp), claim, part)
                first, size = index + 1, 0

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

    def _message(self, tp: TP, chunk: Chunk, generation: int) -> ConsumerMessage:
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
            generation_id=generation,
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
