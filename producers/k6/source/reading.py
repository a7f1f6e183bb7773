"""Reads the source topic batch by batch: each is divided, published and acknowledged before the next.

So at most one batch is in doubt after a crash, and Kafka is asked which part of it arrived.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata

from producers.k6.source.boundaries import Boundaries, Run, taken_by
from producers.k6.source.config import SourceConfig
from producers.k6.source.group import Turn
from producers.k6.source.log import known
from producers.k6.source.merge import Merge
from producers.k6.source.messages import EndMarker, Item, Reader
from producers.k6.source.positions import check, ended, heard, hints
from producers.k6.source.sending import RUNNER, Outgoing, Publisher, key_of
from producers.k6.source.telemetry import Telemetry
from schemas.errors import Invalid, Permanent
from schemas.k6 import Point
from schemas.k6_metrics import MetricTypes
from schemas.runs import RunStarted

_BATCH = 5_000
"""Messages between two commits, and of a fetch."""

_AHEAD = 1_000
"""Messages of each partition to have at hand: what is fetched and not taken holds up the next fetch."""

_POLL_MS = 200
_HINTS = 3_000
"""Characters of a commit's metadata; the broker takes 4,096 bytes."""

_HOPELESS = 100
"""Messages without one point among them: the format is another one. Until then they are dead letters."""

_log = logging.getLogger(__name__)


class Reading:
    """From an assignment of the partitions to its end."""

    def __init__(
        self,
        config: SourceConfig,
        telemetry: Telemetry,
        types: MetricTypes,
        clock: Callable[[], float],
    ) -> None:
        self._config, self._telemetry, self._types, self._clock = config, telemetry, types, clock
        self._reader = Reader(config.format)
        self._out: dict[UUID, Outgoing] = {}
        self.hears: bool | None = None
        """Whether the broker answers; None before its first answer."""
        self._bad_only: int | None = 0
        """Messages that were no points, until there is one that is."""

    async def run(
        self,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        turn: Turn,
    ) -> None:
        """Go on where Kafka stands, until the turn is over."""
        self._publisher = Publisher(producer, self._config.topics, self._config.tenant_id)
        sources = {one.partition: one for one in turn.partitions}
        self._boundaries = await self._recovered(consumer, turn.partitions)
        merge = Merge(sources)
        _log.info("reading %s, %d partitions", self._config.topic, len(sources))
        while not turn.over.is_set():
            await self._step(consumer, sources, merge)

    async def _step(
        self, consumer: AIOKafkaConsumer, sources: Mapping[int, TopicPartition], merge: Merge
    ) -> None:
        at_end = await ended(consumer, sources, merge)
        wanted = merge.short(_AHEAD)
        if wanted:
            waiting = merge.short()
            fetched = await consumer.getmany(
                *(sources[one] for one in wanted),
                # While there is something to do, this only looks what has come.
                timeout_ms=0 if len(waiting) == len(at_end) < len(sources) else _POLL_MS,
                max_records=_BATCH,
            )
            for source, messages in fetched.items():
                merge.put(source.partition, self._reader.read(messages, self._clock()))
            at_end = await ended(consumer, sources, merge)
        items = merge.take(at_end, time.monotonic(), _BATCH)
        await self._process(items)
        for run in self._boundaries.passed():
            await self._finish(run)
        answers = heard(consumer, sources.values())
        if not answers:
            self._boundaries.deaf(time.monotonic())
            if self.hears:
                _log.warning("Kafka does not answer; no run ends meanwhile")
        elif not items and len(at_end) == len(sources):
            for run in self._boundaries.silent(time.monotonic()):
                await self._finish(run)
        if answers or self.hears is not None:
            self.hears = answers
        if items:
            await self._commit(consumer, items)

    async def _recovered(
        self, consumer: AIOKafkaConsumer, sources: Sequence[TopicPartition]
    ) -> Boundaries:
        config, rules = self._config, self._config.rules
        found = await known(
            config.bootstrap,
            config.topics,
            rules.group,
            await hints(config.bootstrap, rules.group),
            key_of(config.tenant_id),
        )
        taken = taken_by([*found.finished, *(one.mark for one in found.open.values())])
        await check(consumer, sources, taken.values())
        runs = []
        for execution_id, (mark, last_offset) in found.open.items():
            run = Run(
                execution_id, mark.tag, mark.first, mark.latest, time.monotonic(), dict(mark.next)
            )
            runs.append(run)
            self._out[execution_id] = Outgoing(
                run, config.tenant_id, mark, last_offset, config.folding
            )
        if taken:
            self._bad_only = None
        self._telemetry.open.set(len(runs))
        return Boundaries(rules, runs, taken_by(found.finished))

    async def _process(self, items: Sequence[Item]) -> None:
        if self._bad_only is not None:
            self._look_for_points(items)
        taken = 0
        for item in items:
            content = item.content
            if isinstance(content, Invalid):
                await self._publisher.bury(item, content)
                self._telemetry.bad.labels(content.reason).inc()
            elif isinstance(content, EndMarker):
                for run in self._boundaries.ended_by(item, content):
                    await self._finish(run)
            else:
                taken += await self._take(item, content)
        for out in self._out.values():
            await self._publisher.send(out)
        await self._publisher.settled()
        self._telemetry.points.inc(taken)
        self._telemetry.again.inc(sum(isinstance(one.content, Point) for one in items) - taken)

    async def _take(self, item: Item, point: Point) -> bool:
        boundaries = self._boundaries
        tag = boundaries.tag(point)
        if boundaries.known(item, tag):
            return False
        if (over := boundaries.over(item, tag)) is not None:
            await self._finish(over)
        now = time.monotonic()
        run = boundaries.open.get(tag) or await self._begin(item, tag, now)
        out = self._out[run.execution_id]
        size = len(item.message.value or b"")
        if out.full_with(size):
            await self._publisher.send(out)
        boundaries.take(run, item, now)
        out.add(point, size)
        if point.metric not in out.metrics:
            out.metrics[point.metric] = self._types.of(point.metric)
        return True

    async def _begin(self, item: Item, tag: str, now: float) -> Run:
        config = self._config
        run = self._boundaries.begin(item, tag, now)
        tags = {config.run_tag: tag} if config.run_tag and tag else {}
        started = RunStarted(
            execution_id=run.execution_id,
            tenant_id=config.tenant_id,
            at=datetime.fromtimestamp(run.first, UTC),
            runner=RUNNER,
            test=config.test,
            script=f"kafka:{config.topic}",
            tags={**config.tags, **tags},
            keep_raw=config.keep_raw,
        )
        self._out[run.execution_id] = await self._publisher.open(
            run, config.rules.group, started, config.folding
        )
        self._told("began", run)
        return run

    async def _finish(self, run: Run) -> None:
        await self._publisher.close(self._out[run.execution_id])
        out = self._out.pop(run.execution_id)
        self._boundaries.close(run)
        self._told(f"is over with {out.points:,} points", run)

    def _told(self, what: str, run: Run) -> None:
        tag = f" ({self._config.run_tag}={run.tag})" if run.tag else ""
        _log.info("run %s%s %s", run.execution_id, tag, what)
        self._telemetry.runs.labels("began" if what == "began" else "finished").inc()
        self._telemetry.open.set(len(self._boundaries.open))

    def _look_for_points(self, items: Sequence[Item]) -> None:
        bad = [one.content for one in items if isinstance(one.content, Invalid)]
        if any(isinstance(one.content, Point) for one in items):
            self._bad_only = None
        elif bad and self._bad_only is not None:
            self._bad_only += len(bad)
            if self._bad_only >= _HOPELESS:
                raise Permanent(
                    f"{self._config.topic} holds no points in the format {self._config.format}: "
                    f"{self._bad_only} messages, and not one that is. The last: {bad[-1]}"
                )

    async def _commit(self, consumer: AIOKafkaConsumer, items: Sequence[Item]) -> None:
        offsets = {one.message.partition: one.message.offset + 1 for one in items}
        latest = {
            str(run): out.last_offset
            for run, out in self._out.items()
            if out.last_offset is not None
        }
        text = json.dumps(latest, separators=(",", ":"))
        metadata = text if len(text) <= _HINTS else ""
        topic = self._config.topic
        # Only how far we have certainly come: where another took over meanwhile, it looks into Kafka.
        with contextlib.suppress(CommitFailedError):
            await consumer.commit(
                {
                    TopicPartition(topic, one): OffsetAndMetadata(offset, metadata)
                    for one, offset in offsets.items()
                }
            )
