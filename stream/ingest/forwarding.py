"""Prepares what a batch forwards to the alerts process; an error here costs alerts, never ingestion."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from schemas.batches import Batch, Rows, Source
from schemas.errors import Temporary
from sinks.delivery import Forward, Written, forward_nothing
from sinks.outages import OUTAGE, classify
from sinks.watched import Lane, Parcel
from stream.ingest.metrics import WatchedMetrics
from stream.ingest.parcels import Making, Samples, parcels, watchable
from stream.ingest.watching import Known, Watching

log = logging.getLogger(__name__)

BEAT = 0.5
"""Seconds in which each lane hears how far its source is, as long as it is read: less than the time after
which the alerts process takes a source for idle and goes on without it."""

FAILURES_TOLD_EVERY = 60.0


class Publisher(Protocol):
    """Who publishes; `stream.ingest.publishing.Publisher` is the real one."""

    def hand_over(self, parcels: Sequence[Parcel]) -> None:
        """Publish these, which are in the outbox as of now."""
        ...

    def wake(self, sources: Iterable[Source]) -> None:
        """Publish what waits of these in the outbox."""
        ...


class Forwarding:
    """Makes of one batch after the other what `Delivery` posts, and hands it to who publishes it.

    `clock` gives seconds, `now` microseconds since the epoch.
    """

    def __init__(
        self,
        watching: Watching,
        *,
        epochs: Mapping[Source, int],
        metrics: WatchedMetrics,
        publisher: Publisher,
        clock: Callable[[], float],
        now: Callable[[], int],
    ) -> None:
        self._watching = watching
        self._epochs = epochs
        self._metrics = metrics
        self._publisher = publisher
        self._clock = clock
        self._now = now
        self._heard: dict[Lane, float] = {}
        self._told = float("-inf")

    async def prepare(self, batch: Batch) -> Forward:
        """What to make of the batch. Raises Temporary while the database is away, as its writing would."""
        # Not in a thread: beside the decoder's it waits for the interpreter at every step, and both lose.
        try:
            if not self._watching.needed:
                return forward_nothing
            every = watchable(batch, batch.samples, batch.points)
            known = await self._watching.learn(every.series[every.runs])
            if known is None:
                return forward_nothing
            making = Making(known, self._epochs, self._silent(batch, known), self._now())
            found = self._made(batch, every, making)
        except OUTAGE as error:
            verdict = classify(error)
            if isinstance(verdict, Temporary):
                raise verdict from error
            return self._failed(verdict)
        except Exception as error:  # noqa: BLE001 # told in the log and the metrics
            return self._failed(error)
        return partial(self._stored, batch, making, found)

    def committed(self, written: Written) -> None:
        """The batch is stored, and so is what it posted."""
        if written.unposted:
            self._metrics.failures.labels("batch").inc()
        if written.posted:
            self._metrics.posted.inc(len(written.posted))
            self._publisher.hand_over(written.posted)

    def overtaken(self, sources: Iterable[Source]) -> None:
        """Another has stored samples of these, or we have and were not told: that was posted, too."""
        self._publisher.wake(sources)

    def _silent(self, batch: Batch, known: Known) -> list[Lane]:
        """Lanes of the batch's sources that have heard nothing for a while; they do now."""
        now = self._clock()
        lanes = [
            lane
            for source in batch.claims
            for lane in (Lane(source, partition) for partition in known.watchlist.partitions)
            if now - self._heard.get(lane, float("-inf")) >= BEAT
        ]
        self._heard |= dict.fromkeys(lanes, now)
        return lanes

    def _made(self, batch: Batch, every: Samples, making: Making) -> Sequence[Parcel]:
        found = parcels(batch, every, making)
        self._heard |= dict.fromkeys({parcel.lane for parcel in found}, self._clock())
        return found

    def _stored(
        self,
        batch: Batch,
        making: Making,
        found: Sequence[Parcel],
        samples: Rows,
        points: Rows,
    ) -> Sequence[Parcel]:
        """What was made of the batch; made anew where the database did not take all of it."""
        if samples is batch.samples and points is batch.points:
            return found
        try:
            return self._made(batch, watchable(batch, samples, points), making)
        except Exception as error:  # noqa: BLE001 # told in the log and the metrics
            self._failed(error)
            return ()

    def _failed(self, error: Exception) -> Forward:
        self._metrics.failures.labels("batch").inc()
        if self._clock() - self._told >= FAILURES_TOLD_EVERY:
            self._told = self._clock()
            log.error("rules miss the samples of a batch", exc_info=error)
        return forward_nothing
