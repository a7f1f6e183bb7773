"""Reads the source topic batch by batch: each is divided, published and acknowledged before the next.

So at most one batch is in doubt after a crash, and Kafka is asked which part of it arrived.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from producers.k6.source.boundaries import Boundaries, Rules, Run, taken_by
from producers.k6.source.group import OneReadsAll, Turn
from producers.k6.source.log import known
from producers.k6.source.marks import Positions
from producers.k6.source.merge import Merge
from producers.k6.source.messages import EndMarker, Format, Item, Reader
from producers.k6.source.sending import RUNNER, Outgoing, Publisher, key_of
from producers.k6.source.telemetry import Telemetry
from producers.k6.urls import USUAL, Folding
from producers.kafka import close_producer, make_producer
from schemas.errors import HeadraceError, Invalid, Permanent
from schemas.k6 import Point
from schemas.k6_metrics import MetricType, MetricTypes
from schemas.runs import RunStarted
from schemas.topics import Topics

_BATCH = 5_000
"""Messages between two commits, and of a fetch."""

_AHEAD = 1_000
"""Messages of each partition to have at hand: what is fetched and not taken holds up the next fetch."""

_FETCH = 512 * 1024
"""Bytes of a partition's fetch; with the batch it bounds the memory."""

_SESSION_MS = 6_000
"""The broker's least: a successor of a killed process waits as long."""

_POLL_MS = 200
_DEAF = 5.0
"""Seconds without an answer from the broker, which answers a fetch within half a second."""
_RETRY = 2.0
_CLOSING = 3.0
_HINTS = 3_000
"""Characters of a commit's metadata; the broker takes 4,096 bytes."""

_HOPELESS = 100
"""Messages without one point among them: the format is another one. Until then they are dead letters."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceConfig:
    """A topic to read, and whose runs of which test are in it."""

    bootstrap: str
    topics: Topics
    tenant_id: UUID
    topic: str
    format: Format
    test: str
    idle: float = 30.0
    """Seconds between two points that divide two runs."""
    run_tag: str | None = None
    group: str | None = None
    """By default one that follows from tenant and topic."""
    types: Mapping[str, MetricType] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    keep_raw: bool = False
    folding: Folding = USUAL

    @property
    def rules(self) -> Rules:
        """How the topic is divided."""
        group = self.group or f"{self.topics.prefix}headrace-k6.{self.tenant_id}.{self.topic}"
        return Rules(group, self.topic, self.idle, self.run_tag)


class Source:
    """The consumer of one topic; `run` until told to stop."""

    def __init__(
        self,
        config: SourceConfig,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._telemetry, self._clock = config, telemetry, clock
        self._group = config.rules.group
        self._types = MetricTypes(given=config.types)
        self._stop = asyncio.Event()
        self._joined = False
        self._at_work: _Turn | None = None

    @property
    def connected(self) -> bool:
        """Whether Kafka answers; a process that stands by is connected, too."""
        return self._joined and (self._at_work is None or self._at_work.hears is not False)

    def stop(self) -> None:
        """Stop after the batch in hand. Open runs stay open and are gone on with later."""
        self._stop.set()

    async def run(self) -> None:
        """Read until stopped, through outages.

        Raises:
            Permanent: the topic is not what the configuration says; a person must act.
        """
        while not self._stop.is_set():
            try:
                await self._connected_run()
            except (KafkaError, OSError) as error:
                _log.warning("Kafka gives no answer, next attempt in %.0f s: %r", _RETRY, error)
                await self._until(timeout=_RETRY)
            finally:
                self._joined = False

    async def _connected_run(self) -> None:
        turn = Turn()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._config.bootstrap,
            client_id="headrace-k6-source",
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[OneReadsAll],
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 3,
            max_partition_fetch_bytes=_FETCH,
            metadata_max_age_ms=30_000,  # partitions that are added, and a topic that is made later
        )
        try:
            await consumer.start()
            consumer.subscribe([self._config.topic], listener=turn)
            self._joined = True
            while not self._stop.is_set():
                await self._until(asyncio.create_task(turn.begun.wait()))
                if turn.begun.is_set():
                    turn.begun.clear()
                    turn.work = asyncio.create_task(self._take_turn(consumer, turn))
                    await self._until(turn.work, keep=True)
                    if turn.work.done() and not turn.work.cancelled():
                        turn.work.result()
        finally:
            await turn.end()
            with contextlib.suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_CLOSING):  # a broker that is away can't be told
                    await consumer.stop()

    async def _take_turn(self, consumer: AIOKafkaConsumer, turn: Turn) -> None:
        producer = make_producer(self._config.bootstrap, client_id="headrace-k6-source")
        try:
            await producer.start()
            self._at_work = _Turn(self._config, self._telemetry, self._types, self._clock)
            await self._at_work.run(consumer, producer, turn)
        finally:
            self._at_work = None
            with contextlib.suppress(KafkaError, HeadraceError):
                await close_producer(producer, timeout=_CLOSING)

    async def _until(
        self,
        work: "asyncio.Task[Any] | None" = None,
        *,
        keep: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 # passed on to a wait for the first of two
    ) -> None:
        """Wait for this or for the order to stop; what is not kept is cancelled."""
        stopped = asyncio.create_task(self._stop.wait())
        both = {stopped} if work is None else {stopped, work}
        try:
            await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if work is not None and not keep:
                work.cancel()


class _Turn:
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
        ended = await _ended(consumer, sources, merge)
        wanted = merge.short(_AHEAD)
        if wanted:
            waiting = merge.short()
            fetched = await consumer.getmany(
                *(sources[one] for one in wanted),
                # While there is something to do, this only looks what has come.
                timeout_ms=0 if len(waiting) == len(ended) < len(sources) else _POLL_MS,
                max_records=_BATCH,
            )
            for source, messages in fetched.items():
                merge.put(source.partition, self._reader.read(messages, self._clock()))
            ended = await _ended(consumer, sources, merge)
        items = merge.take(ended, time.monotonic(), _BATCH)
        await self._process(items)
        over = self._boundaries.passed()
        heard = _heard(consumer, sources.values())
        if not heard:
            self._boundaries.deaf(time.monotonic())
            if self.hears:
                _log.warning("Kafka does not answer; no run ends meanwhile")
        elif not items and len(ended) == len(sources):
            over += self._boundaries.silent(time.monotonic())
        if heard or self.hears is not None:
            self.hears = heard
        for run in over:
            await self._finish(run)
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
            await _hints(config.bootstrap, rules.group),
            key_of(config.tenant_id),
        )
        taken = taken_by([*found.finished, *(one.mark for one in found.open.values())])
        await _check(consumer, sources, taken.values())
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
        hints = {
            str(run): out.last_offset
            for run, out in self._out.items()
            if out.last_offset is not None
        }
        text = json.dumps(hints, separators=(",", ":"))
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


async def _ended(
    consumer: AIOKafkaConsumer, sources: Mapping[int, TopicPartition], merge: Merge
) -> list[int]:
    """The partitions of which nothing is at hand and nothing is left to read."""
    return [one for one in merge.short() if await _at_end(consumer, sources[one])]


async def _at_end(consumer: AIOKafkaConsumer, source: TopicPartition) -> bool:
    return _heard(consumer, [source]) and (await consumer.position(source)) >= consumer.highwater(
        source
    )


def _heard(consumer: AIOKafkaConsumer, sources: Iterable[TopicPartition]) -> bool:
    """Whether the broker has answered for these partitions a moment ago."""
    ours = consumer.assignment()  # empty in the midst of a hand-over
    since = (time.time() - _DEAF) * 1000
    return all(one in ours and (consumer.last_poll_timestamp(one) or 0) > since for one in sources)


async def _hints(bootstrap: str, group: str) -> dict[str, int]:
    """Where each open run's latest envelope lies at least, as the commits say."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    hints: dict[str, int] = {}
    for one in committed.values():
        for run, offset in json.loads(one.metadata or "{}").items():
            hints[run] = max(offset, hints.get(run, 0))
    return hints


async def _check(
    consumer: AIOKafkaConsumer,
    sources: Sequence[TopicPartition],
    taken: Collection[Positions],
) -> None:
    """Refuse a topic that was made anew; say what Kafka deleted before it was read."""
    ends = await consumer.end_offsets(sources)
    firsts = await consumer.beginning_offsets(sources)
    for source in sources:
        behind = max((one.get(source.partition, 0) for one in taken), default=0)
        if behind > ends[source]:
            raise Permanent(
                f"{source.topic}/{source.partition} ends at {ends[source]}, and runs up to {behind} are "
                "known: the topic was made anew. Give another --group to read it from its beginning."
            )
        committed = await consumer.committed(source)
        if committed is not None and committed < firsts[source]:
            _log.error(
                "%d messages of %s/%d were deleted before they were read: retention is too short",
                firsts[source] - committed,
                source.topic,
                source.partition,
            )
