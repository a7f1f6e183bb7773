"""Decides where consuming starts: at the database's offsets, measured against what Kafka still holds."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from schemas.batches import Source
from schemas.errors import Permanent
from sinks.delivery import Delivery
from sinks.outages import OUTAGE, classify
from stream.ingest.metrics import IngestMetrics

log = logging.getLogger(__name__)


class StoredPositions:
    """The database's positions; a gap before Kafka's earliest record is recorded as lost, never skipped.

    `taken_over` is told the partitions that are now ours.
    """

    def __init__(
        self,
        delivery: Delivery,
        metrics: IngestMetrics,
        taken_over: Callable[[Iterable[Source]], object],
        pause: float = 1.0,
    ) -> None:
        self._delivery = delivery
        self._metrics = metrics
        self._taken_over = taken_over
        self._pause = pause

    async def starts(
        self, earliest: dict[Source, int], ends: dict[Source, int]
    ) -> dict[Source, int]:
        """The offset to start at in each partition. Waits for the database as long as it takes."""
        while True:
            try:
                return await self._starts(earliest, ends)
            except OUTAGE as error:
                verdict = classify(error)
                if isinstance(verdict, Permanent):
                    raise verdict from error
                self._metrics.retries.labels("database").inc()
                log.warning("can't read the stored positions yet: %s", verdict)
                await asyncio.sleep(self._pause)

    async def _starts(
        self, earliest: dict[Source, int], ends: dict[Source, int]
    ) -> dict[Source, int]:
        stored = await self._delivery.positions(earliest)
        unseen = {source: at for source, at in earliest.items() if source not in stored}
        if unseen:
            await self._delivery.open(unseen)
            stored |= await self._delivery.positions(unseen)
        starts = {}
        for source, at in stored.items():
            first, end = earliest[source], ends[source]
            # Beyond the end: this is another topic of the same name, and its deleted head was missed.
            anew = at > end
            lost = first if anew else max(0, first - at)
            starts[source] = first if anew or lost else at
            if anew or lost:
                log.error(
                    "%s records of %s partition %s were deleted before they were read%s; recorded as lost",
                    lost,
                    *source,
                    " (the topic was made anew)" if anew else "",
                )
                await self._delivery.skip_gap(source, lost=lost, to=first, new_topic=anew)
                self._metrics.lost.inc(lost)
        # After the look at the positions: what was committed before it is there to be published.
        self._taken_over(starts)
        log.info("consuming from %s", {f"{s.topic}/{s.partition}": at for s, at in starts.items()})
        return starts
