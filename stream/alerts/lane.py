"""Evaluates one partition: takes over where another ended, and stores what each chunk changes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from aiokafka import TopicPartition

from schemas.batches import Chunk, Source
from schemas.errors import Invalid
from schemas.watched import decode
from schemas.watched_rows import SLOT
from stream.alerts.ledger import Ledger, reader
from stream.alerts.metrics import AlertsMetrics
from stream.core.engine import Engine
from stream.core.lateness import Lateness
from stream.core.targets import LiveRule

log = logging.getLogger(__name__)

SAVE_EVERY = 5_000_000
"""Microseconds between notes of the position where nothing changes: less to evaluate again."""

_GAP = 5_000_000
"""Microseconds without an answer after which Kafka was away; one comes every 1.5 s when all is quiet."""
_RECOVERY = 10_000_000
"""Microseconds in which sources may be heard of again: ingest needs Kafka, too, to go on."""

_SLACK = 60_000
"""Milliseconds: clocks of brokers and producers differ."""


class Lane:
    """A partition of the watched topic that is ours. Not for two tasks at once."""

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        *,
        lateness: Lateness,
        stale_after: timedelta,
        metrics: AlertsMetrics,
        now: Callable[[], int],
    ) -> None:
        self.source = source
        self._ledger = ledger
        self._engine = Engine(lateness, stale_after=stale_after)
        self._metrics = metrics
        self._now = now
        self._commit = 0
        self._saved = 0
        self._answered: int | None = None
        """When Kafka was last known to answer; by the clock, in microseconds."""
        self.next = 0
        """Offset of the next record."""
        self.live_from = 0
        """Records from here on are evaluated; those before only fill windows."""

    @property
    def live(self) -> bool:
        """Whether windows are rebuilt."""
        return self.next >= self.live_from

    @property
    def engine(self) -> Engine:
        """What evaluates."""
        return self._engine

    async def begin(self, kafka: str, rules: Sequence[LiveRule], earliest: int, end: int) -> int:
        """Take the partition over; the offset to read from. Raises KafkaError."""
        stored = await self._ledger.open()
        checkpoint = stored.checkpoint
        if checkpoint is not None:
            self._engine.restore(checkpoint, stored.states.values(), self._now())
            self._commit = checkpoint.commit
        self._engine.set_rules(rules, self._now())
        at = earliest if checkpoint is None or checkpoint.offset > end else checkpoint.offset
        self.next = self.live_from = max(earliest, at)
        slot = self._engine.slot
        if slot is not None and self.live_from > earliest:
            # A sample is in Kafka after it was measured, if clocks agree.
            since = (slot - self._engine.span) * SLOT // 1000 - _SLACK
            where = TopicPartition(*self.source)
            async with reader(kafka) as consumer:
                found = (await consumer.offsets_for_times({where: max(0, since)}))[where]
            if found is not None:
                self.next = max(earliest, min(found.offset, self.live_from))
        return self.next

    async def take(self, chunk: Chunk) -> None:
        """Evaluate a chunk. Raises Lost."""
        if chunk.claim.start != self.next:
            return  # was on its way when the partition was sought anew, and comes again
        self._answers(self._now())
        for record in chunk.records:
            try:
                watched = decode(record.value or b"")
            except Invalid as error:
                self._metrics.invalid.inc()
                log.error("%s/%s at %s: %s", *self.source, record.offset, error)  # noqa: TRY400 # its text says all
                continue
            if record.offset < self.live_from:
                self._engine.remember(watched)
            else:
                now = self._now()
                self._engine.add(watched, now)
                await self._evaluate(now)
        self.next = chunk.claim.end
        await self._save()

    async def tick(self, until: int) -> None:
        """Let time pass to when Kafka had no more than was taken (microseconds). Raises Lost.

        Not further: that nothing is heard while Kafka is away says nothing of the samples.
        """
        self._answers(until)
        await self._evaluate(min(until, self._now()))
        await self._save()

    async def set_rules(self, rules: Sequence[LiveRule]) -> None:
        """Go on with these rules. Raises Lost."""
        self._engine.set_rules(rules, self._now())
        await self._save()

    async def close(self) -> None:
        """Give the partition up."""
        await self._ledger.close()

    def _answers(self, at: int) -> None:
        """Kafka answered at that time. After an outage its sources are given time to come back."""
        if self._answered is not None and at - self._answered > _GAP:
            self._engine.excuse(self._answered, at + _RECOVERY)
        self._answered = max(at, self._answered or at)

    async def _evaluate(self, now: int) -> None:
        """Evaluate as far as time has come, by and by: the consumer has to say that it is alive."""
        while self._engine.tick(now):  # noqa: ASYNC110 - a turn for others, not a wait
            await asyncio.sleep(0)

    async def _save(self) -> None:
        if not self.live:
            return
        changes, now = self._engine.take(), self._now()
        if not changes and now - self._saved < SAVE_EVERY:
            return
        self._commit += 1
        checkpoint = self._engine.checkpoint(commit=self._commit, offset=self.next)
        await self._ledger.commit(changes, checkpoint)
        self._saved = now
        self._metrics.commits.inc()
        for transition in changes.transitions:
            self._metrics.transitions.labels(transition.state).inc()
