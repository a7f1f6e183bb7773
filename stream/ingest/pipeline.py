"""Batches in flight: decodes the next one while the last is written, and retries outages for ever.

One batch is being written at any moment, and at most one more is gathered or decoded, so memory is
bounded by the queue in front: when the database is slow the queue fills, the agent waits in `put`, and
the consumer stops fetching. A batch is acknowledged to Kafka only after its transaction committed.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic, time
from typing import TypeVar

import numpy as np
from aiokafka.errors import KafkaError

from schemas.batches import Batch, Chunk, Claim, Source
from schemas.errors import Temporary
from sinks.delivery import Bury, Delivery, Forward, Overtaken, SeriesForgotten, Written
from sinks.outages import OUTAGE, classify
from stream.ingest.decode import Decoder
from stream.ingest.forwarding import Forwarding
from stream.ingest.metrics import IngestMetrics

log = logging.getLogger(__name__)
T = TypeVar("T")

REFUSALS_TOLD_EVERY = 60.0
"""Seconds between two lines of the log: the metrics and the table `rejections` have the rest."""


@dataclass(frozen=True)
class Policy:
    """How batches are cut and outages are waited out."""

    batch_bytes: int = 8 << 20
    """Raw bytes that make a batch full: about 80,000 samples; larger gains nothing, costs memory."""
    linger: float = 0.05
    """Seconds that a chunk waits for more when a batch is small: a quiet topic costs 20 transactions a
    second at most. What came while another batch was written has waited already."""
    queue_chunks: int = 8
    first_pause: float = 0.1
    longest_pause: float = 5.0


@dataclass(frozen=True)
class Delivered:
    """A chunk, and how to tell Faust that it is done."""

    chunk: Chunk
    ack: Callable[[], object]

    @property
    def size(self) -> int:
        """Raw bytes."""
        return sum(len(record.value or b"") for record in self.chunk.records)


class Pipeline:
    """Takes chunks, makes them durable in order, acknowledges them."""

    def __init__(
        self,
        decoder: Decoder,
        delivery: Delivery,
        bury: Bury,
        *,
        metrics: IngestMetrics,
        forwarding: Forwarding,
        policy: Policy | None = None,
    ) -> None:
        self._decoder = decoder
        self._delivery = delivery
        self._bury = bury
        self._metrics = metrics
        self._forwarding = forwarding
        self._policy = policy or Policy()
        self._queue: asyncio.Queue[tuple[float, Delivered]] = asyncio.Queue(
            self._policy.queue_chunks
        )
        self._pending = 0
        self._told_refusals = float("-inf")
        self.outage: str | None = None
        """What the pipeline waits for, None when all is well."""
        self.progressed = monotonic()
        """Moment of the last commit, or of the last sign that an outage is being waited out."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return self._pending == 0

    async def put(self, delivered: Delivered) -> None:
        """Queue a chunk; waits while the queue is full, which is how a slow database pauses Kafka."""
        self._pending += 1
        await self._queue.put((asyncio.get_running_loop().time(), delivered))

    async def drain(self) -> None:
        """Return when everything queued is durable."""
        await self._queue.join()

    async def run(self) -> None:
        """Work until cancelled. Raises Permanent when a person must act."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                work = await self._gather(writing)
                started = monotonic()
                batch = await self._until_up(partial(self._decoder.decode, _chunks(work)))
                self._metrics.batch_seconds.labels("decode").observe(monotonic() - started)
                # While the last batch is written: the database is not to wait for it.
                self._delivery.prepare(batch)
                forward = await self._until_up(partial(self._forwarding.prepare, batch))
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._finish(work, batch, forward))
        finally:
            if writing is not None:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await writing

    async def _gather(self, writing: asyncio.Task[None] | None) -> list[Delivered]:
        """The next chunks of one batch: each partition's in order, up to the policy's size.

        While another is written they gather until the batch is full: begun earlier it would wait
        anyway, and without what came meanwhile. Raises what the writing raises.
        """
        work: list[Delivered] = []
        size, complete = 0, float("inf")
        clock = asyncio.get_running_loop().time
        while size < self._policy.batch_bytes:
            if writing is not None and writing.done():
                writing.result()
                writing = None
            found = await self._next(writing, complete - clock() if work else None)
            if found is not None:
                arrived, delivered = found
                complete = min(complete, arrived + self._policy.linger)
                work.append(delivered)
                size += delivered.size
            elif not writing:
                break
        return work

    async def _next(
        self, writing: asyncio.Task[None] | None, wait: float | None
    ) -> tuple[float, Delivered] | None:
        """The next chunk; None when the writing ends before one comes or, without it, the time does."""
        if not self._queue.empty():
            # At once: a turn of the loop for each chunk held up those who fetch, by a third in all.
            return self._queue.get_nowait()
        more = asyncio.ensure_future(self._queue.get())
        timeout = None if writing or wait is None else max(0.0, wait)
        try:
            await asyncio.wait(
                {more, writing or more}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            more.cancel()
        return more.result() if more.done() else None

    async def _finish(self, work: Sequence[Delivered], batch: Batch, forward: Forward) -> None:
        started = monotonic()
        repeated: Counter[Source] = Counter()
        rest = _chunks(work)
        while True:
            try:
                written = await self._until_up(
                    partial(self._delivery.write, batch, self._bury, repeated, forward)
                )
                break
            except Overtaken as overtaken:
                self._forwarding.overtaken(overtaken.positions)
                rest, dropped = _behind(rest, batch, overtaken.positions)
                log.warning(
                    "dropped %s samples that are stored already: %s", dropped.total(), overtaken
                )
                repeated += dropped
            except SeriesForgotten:
                log.info("series were deleted; looking all of them up again")
                await self._until_up(partial(self._decoder.forget, batch.series_epoch))
            again = await self._until_up(partial(self._decoder.decode, rest))
            again.buried = batch.buried
            batch = again
            forward = await self._until_up(partial(self._forwarding.prepare, batch))
        self._forwarding.committed(written)
        self._count(batch, written, repeated, monotonic() - started)
        for delivered in work:
            delivered.ack()
            self._pending -= 1
            self._queue.task_done()

    def _count(
        self, batch: Batch, written: Written, repeated: Counter[Source], seconds: float
    ) -> None:
        self.progressed = monotonic()
        m = self._metrics
        m.samples.labels("stored").inc(written.stored)
        m.samples.labels("dead_lettered").inc(written.dead_lettered)
        m.samples.labels("deduplicated").inc(repeated.total())
        m.samples.labels("rejected").inc(written.rejected)
        for reason, n in Counter(reject.reason for reject in batch.rejects).items():
            m.rejects.labels(reason).inc(n)
        if batch.refusals:
            self._tell_refusals(batch)
        m.batch_seconds.labels("write").observe(seconds)
        m.batch_samples.observe(batch.size)
        m.last_commit.set(time())

    def _tell_refusals(self, batch: Batch) -> None:
        for refusal in batch.refusals:
            self._metrics.refused.labels(refusal.reason).inc(refusal.samples)
        if monotonic() - self._told_refusals < REFUSALS_TOLD_EVERY:
            return
        self._told_refusals = monotonic()
        one = batch.refusals[-1]
        log.warning(
            "new series of tenant %s are refused (%s): see `headrace storage cardinality`, or raise "
            "the limit: headrace tenants limit",
            one.tenant,
            one.reason,
        )

    async def _until_up(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run a step until the database and the broker let it succeed; it must be safe to repeat."""
        pause = self._policy.first_pause
        while True:
            try:
                result = await step()
            except (Overtaken, SeriesForgotten):
                raise
            except (*OUTAGE, KafkaError, Temporary) as error:
                away = isinstance(error, KafkaError | Temporary)
                dependency, verdict = ("kafka", error) if away else ("database", classify(error))
                if not isinstance(verdict, Temporary):
                    raise verdict from error
                self._metrics.retries.labels(dependency).inc()
                if self.outage is None:
                    log.warning(
                        "%s is away; waiting for it, nothing is lost: %s", dependency, verdict
                    )
                self.outage = f"{dependency}: {verdict}"
                self.progressed = monotonic()
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._policy.longest_pause)
            else:
                if self.outage is not None:
                    log.warning("back again after: %s", self.outage)
                    self.outage = None
                return result


def _chunks(work: Sequence[Delivered]) -> list[Chunk]:
    """The chunks of a batch, those of one partition joined: a batch holds one claim a partition."""
    joined: dict[Source, Chunk] = {}
    for chunk in (delivered.chunk for delivered in work):
        before = joined.get(chunk.source)
        joined[chunk.source] = chunk if before is None else _join(before, chunk)
    return list(joined.values())


def _join(first: Chunk, second: Chunk) -> Chunk:
    # A partition that went to another worker and came back: what that one stored is behind us, and
    # what it did not store is queued twice. Keep each offset once.
    if second.claim.start > first.claim.end:
        return second
    fresh = [r for r in second.records if r.offset >= first.claim.end]
    end = max(first.claim.end, second.claim.end)
    return Chunk(first.source, Claim(first.claim.start, end), [*first.records, *fresh])


def _behind(
    chunks: Sequence[Chunk], batch: Batch, positions: dict[Source, int]
) -> tuple[list[Chunk], Counter[Source]]:
    """What is left of the chunks behind the stored positions, and how many samples were not."""
    rest = []
    for chunk in chunks:
        at = max(positions.get(chunk.source, 0), chunk.claim.start)
        records = [r for r in chunk.records if r.offset >= at]
        rest.append(replace(chunk, claim=Claim(at, max(at, chunk.claim.end)), records=records))
    samples = np.zeros(len(batch.records), np.int64)
    for rows in (batch.samples, batch.points):
        counts = np.bincount(rows.record)
        samples[: len(counts)] += counts
    dropped: Counter[Source] = Counter()
    for record, count in zip(batch.records, samples.tolist(), strict=True):
        source = Source(record.topic, record.partition)
        if record.offset < positions.get(source, 0):
            dropped[source] += count
    aside = [(r.record, 1) for r in batch.rejects] + [(r.record, r.samples) for r in batch.refusals]
    for record, count in aside:
        source = Source(record.topic, record.partition)
        if record.offset < positions.get(source, 0):
            dropped[source] += count
    return rest, dropped
