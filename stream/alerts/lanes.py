"""The partitions that are this process's: taken over at each assignment, ticked by the clock, told of rules."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from schemas.batches import Chunk, Source
from schemas.errors import Restart
from schemas.watched import partition_of
from stream.alerts.lane import Lane
from stream.alerts.ledger import Lost
from stream.alerts.metrics import AlertsMetrics
from stream.core.targets import LiveRule
from stream.ingest.pipeline import Delivered

log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between looks at the clock."""

_PAUSE = 1.0
_PATIENCE = 10.0
"""Seconds that a partition may be assigned and not ours: then another took it and Kafka did not tell us."""


class Lanes:
    """Positions for the consumer, and taker of its chunks. `now` gives microseconds since the epoch."""

    def __init__(
        self,
        make: Callable[[Source], Lane],
        kafka: str,
        partitions: int,
        *,
        metrics: AlertsMetrics,
        now: Callable[[], int],
    ) -> None:
        self._make = make
        self._kafka = kafka
        self._partitions = partitions
        self._metrics = metrics
        self._now = now
        self._rules: Sequence[LiveRule] = ()
        self._lanes: dict[Source, Lane] = {}
        self._locks: dict[Source, asyncio.Lock] = {}
        self._ends: dict[Source, int] = {}

    async def starts(
        self, earliest: dict[Source, int], ends: dict[Source, int]
    ) -> dict[Source, int]:
        """Take these partitions over, each anew: another process may have had it in between."""
        for source in list(self._lanes):
            await self._give_up(source)
        self._ends = ends
        begun = (self._begin(source, at, ends[source]) for source, at in earliest.items())
        return dict(zip(earliest, await asyncio.gather(*begun), strict=True))

    async def put(self, delivered: Delivered) -> None:
        """Evaluate a chunk."""
        chunk: Chunk = delivered.chunk
        async with self._lane(chunk.source) as lane:
            if lane is not None:
                await lane.take(chunk)
        delivered.ack()

    async def set_rules(self, rules: Sequence[LiveRule]) -> None:
        """These are the rules from now on."""
        self._rules = rules
        self._metrics.rules.set(len(rules))
        for source in list(self._lanes):
            async with self._lane(source) as lane:
                if lane is not None:
                    await lane.set_rules(self._of(source))

    async def run(
        self,
        position: Callable[[], Mapping[Source, int]],
        told: Callable[[], Awaitable[Mapping[Source, int]]],
    ) -> None:
        """Tick until cancelled. `position`: what was handed over of each assigned partition.

        `told`: when Kafka last said that it has no more than that (microseconds), where it has not.
        Raises Restart when a partition stays assigned that another process has taken.
        """
        missing = 0.0
        while True:
            await asyncio.sleep(TICK)
            at, quiet = position(), await told()
            for source in list(self._lanes):
                async with self._lane(source) as lane:
                    if lane is None or not lane.live or source not in quiet:
                        continue
                    if at.get(source) == lane.next >= self._ends[source]:
                        await lane.tick(quiet[source])
            missing = missing + TICK if at.keys() - self._lanes.keys() else 0.0
            if missing >= _PATIENCE:
                raise Restart("another process evaluates partitions that are assigned to this one")
            self._measure()

    async def close(self) -> None:
        """Give up all partitions."""
        for source in list(self._lanes):
            await self._give_up(source)

    def _measure(self) -> None:
        engines = [lane.engine for lane in self._lanes.values()]
        self._metrics.active.set(sum(engine.alerts for engine in engines))
        reached = [engine.watermark for engine in engines if engine.watermark is not None]
        self._metrics.behind.set((self._now() - min(reached)) / 1e6 if reached else 0)

    async def _begin(self, source: Source, earliest: int, end: int) -> int:
        async with self._locks.setdefault(source, asyncio.Lock()):
            while True:
                lane = self._make(source)
                try:
                    at = await lane.begin(self._kafka, self._of(source), earliest, end)
                except (KafkaError, OSError) as error:
                    log.warning("can't take over %s/%s yet: %r", *source, error)
                    await lane.close()
                    await asyncio.sleep(_PAUSE)
                else:
                    self._lanes[source] = lane
                    log.info("evaluating %s/%s from %s, live from %s", *source, at, lane.live_from)
                    return at

    async def _give_up(self, source: Source) -> None:
        # Before the lock: who holds it may wait for Kafka on behalf of this lane.
        lane = self._lanes.pop(source, None)
        if lane is not None:
            await lane.close()

    @asynccontextmanager
    async def _lane(self, source: Source) -> AsyncIterator[Lane | None]:
        """The lane, for one task at a time; one that turns out to be lost is given up."""
        async with self._locks.setdefault(source, asyncio.Lock()):
            lane = self._lanes.get(source)
            try:
                yield lane
            except Lost as lost:
                log.warning("%s", lost)
                self._metrics.lost.inc()
                if self._lanes.get(source) is lane:
                    await self._give_up(source)

    def _of(self, source: Source) -> list[LiveRule]:
        return [
            rule
            for rule in self._rules
            if partition_of(rule.tenant_id, metric=rule.rule.metric, partitions=self._partitions)
            == source.partition
        ]
