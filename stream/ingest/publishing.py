"""Publishes the outbox of watched samples: behind each commit, and what was left of a partition taken over.

Its own task: whatever the broker or the database does to it, batches are written meanwhile. A lane's
records go one after the other, each when Kafka has acknowledged the one before; see `sinks.watched` for
why that is enough.

What this process posts itself it publishes from memory, as long as nothing of the source can wait in the
outbox before it. After whatever leaves that in doubt (a partition taken over, another writer's commit, a
failure, a broker that is slow) the source's records are read from the outbox, until it has no more.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from aiokafka.errors import KafkaError

from schemas.batches import Source
from schemas.errors import HeadraceError
from sinks.outages import OUTAGE
from sinks.watched import Lane, Outbox, Parcel
from stream.ingest.metrics import WatchedMetrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often, and for how long."""

    sweep: float = 5.0
    """Seconds between looks at all partitions that are ours: what a dead writer committed last."""
    pause: float = 1.0
    """Seconds after a failure."""
    patience: float = 5.0
    """Seconds for a lane; one whose broker is silent is left behind, and does not hold up the others."""
    gathers: float = 0.5
    """Seconds in which what is published is gathered, to be taken out of the outbox together."""
    at_once: int = 16
    """Records of a lane that are read together."""
    expires: timedelta = timedelta(hours=1)
    """Nobody is to be woken for what is older, and a topic that takes nothing must not fill the database."""


Sent = tuple[list[Parcel], Exception | None]
"""What Kafka has of a lane's records, and what kept it from the rest."""


class Producer(Protocol):
    """What `producers.steady.SteadyProducer` does."""

    def partitions(self, topic: str) -> int:
        """How many the topic has; 0 while that is not known."""
        ...

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> Awaitable[Any]:
        """Queue a record; the result is the broker's acknowledgement. Raises Temporary."""
        ...


class Publisher:
    """Publishes for one consumer group what is of the partitions that this process consumes."""

    def __init__(
        self,
        outbox: Outbox,
        producer: Producer,
        topic: str,
        *,
        metrics: WatchedMetrics,
        pace: Pace = Pace(),
    ) -> None:
        self._outbox = outbox
        self._producer = producer
        self._topic = topic
        self._metrics = metrics
        self._pace = pace
        self._partitions = 0
        """Of the topic; what waits for others was not read from the outbox."""
        self._mine: frozenset[Source] = frozenset()
        self._due: set[Source] = set()
        """Whose records are to be read from the outbox."""
        self._caught_up: set[Source] = set()
        """Whose records come from memory: none is in the outbox but those."""
        self._handed: defaultdict[Lane, list[Parcel]] = defaultdict(list)
        self._gone: list[Parcel] = []
        """Published, and still in the outbox."""
        self._emptying: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self._woken = asyncio.Event()
        self._late: dict[Lane, asyncio.Task[Sent]] = {}
        self._failing = False

    def take_over(self, sources: Iterable[Source]) -> None:
        """These are the partitions that are ours now; their last writer may have left something."""
        self._mine = frozenset(sources)
        self.wake(self._mine)

    def wake(self, sources: Iterable[Source]) -> None:
        """Something of these may wait in the outbox."""
        doubtful = set(sources)
        self._due |= doubtful
        self._caught_up -= doubtful
        for lane in [lane for lane in self._handed if lane.source in doubtful]:
            del self._handed[lane]
        self._woken.set()

    def hand_over(self, parcels: Sequence[Parcel]) -> None:
        """These are in the outbox as of now."""
        for parcel in parcels:
            source = parcel.lane.source
            if source not in self._caught_up:
                self._due.add(source)
            elif len(self._handed[parcel.lane]) < self._pace.at_once:
                self._handed[parcel.lane].append(parcel)
            else:
                self.wake([source])
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled. Raises nothing: no alert is worth a stop of ingestion."""
        swept = float("-inf")
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.sweep):
                        await self._woken.wait()
                try:
                    now = asyncio.get_running_loop().time()
                    if now - swept >= self._pace.sweep:
                        swept = now
                        await self._sweep()
                    await self._publish_all()
                    if self._failing:
                        log.warning("watched samples are published again")
                    self._failing = False
                except Exception as error:  # noqa: BLE001 # told in the log and the metrics
                    self._tell(error)
                    await asyncio.sleep(self._pace.pause)
        finally:
            for task in self._late.values():
                task.cancel()

    async def flush(self) -> None:
        """Publish what waits. Raises what database and broker raise; then it still does."""
        try:
            await self._publish_all()
        finally:
            await self._emptied()

    async def _publish_all(self) -> None:
        partitions = self._producer.partitions(self._topic)
        if partitions != self._partitions:
            self._partitions = partitions
            self.wake(self._mine)
        while self._due or self._handed:
            self._woken.clear()
            due, self._due = self._due, set()
            handed, self._handed = self._handed, defaultdict(list)
            try:
                await self._publish(due, handed)
            except BaseException:
                self.wake(due | {lane.source for lane in handed})
                raise

    async def _sweep(self) -> None:
        self.wake(self._mine)
        self._metrics.expired.inc(await self._outbox.expire(self._pace.expires))
        rows, seconds = await self._outbox.backlog()
        self._metrics.waiting.set(rows)
        self._metrics.oldest.set(seconds)

    async def _publish(self, due: set[Source], handed: Mapping[Lane, list[Parcel]]) -> None:
        """Publish what was handed over, and the oldest of each lane that is due."""
        lanes = dict(handed)
        if due:
            # What is published already is not to be read once more.
            await self._emptied()
            lanes |= await self._outbox.waiting(due, self._partitions, self._pace.at_once)
        # One that was left behind is read anew when it is back.
        sending = {
            lane: asyncio.create_task(self._send(parcels))
            for lane, parcels in lanes.items()
            if lane not in self._late
        }
        if sending:
            await self._sent(sending)
        full = {lane.source for lane in sending if len(lanes[lane]) == self._pace.at_once}
        self._due |= full & due
        if self._partitions:
            self._caught_up |= due - self._due

    async def _sent(self, sending: Mapping[Lane, asyncio.Task[Sent]]) -> None:
        """Wait for these, but not for long. Raises what kept any of them from Kafka."""
        try:
            await asyncio.wait(sending.values(), timeout=self._pace.patience)
        finally:
            # When this is cancelled, too: who flushes then has to hear that they ended.
            for lane, task in sending.items():
                if not task.done():
                    self._late[lane] = task
                    task.add_done_callback(partial(self._back, lane))
        sent = [task.result() for task in sending.values() if task.done()]
        self._gone += [parcel for acknowledged, _ in sent for parcel in acknowledged]
        if self._gone and self._emptying is None:
            self._emptying = asyncio.create_task(self._empty())
        for _, error in sent:
            if error is not None:
                raise error

    async def _empty(self) -> None:
        """Take what is published out of the outbox; only who reads it waits for that."""
        while self._gone:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.gathers):
                    await self._hurried.wait()
            gone, self._gone = self._gone, []
            await self._outbox.published(gone)
            self._metrics.published.inc(len(gone))
        self._emptying = None

    async def _emptied(self) -> None:
        """Have that done at once. Raises what the database raises."""
        self._hurried.set()
        try:
            if self._emptying is not None:
                await self._emptying
        finally:
            self._hurried.clear()
            self._emptying = None

    async def _send(self, parcels: Sequence[Parcel]) -> Sent:
        """Send records of one lane, in order."""
        acknowledged: list[Parcel] = []
        try:
            for parcel in parcels:
                source, partition = parcel.lane
                key = f"{source.topic}/{source.partition}".encode()
                await (await self._producer.send(self._topic, parcel.payload, key, (), partition))
                acknowledged.append(parcel)
        except (KafkaError, HeadraceError) as error:
            return acknowledged, error
        return acknowledged, None

    def _back(self, lane: Lane, _: object) -> None:
        """A lane that was left behind has ended, one way or the other: what waits is read anew."""
        self._late.pop(lane, None)
        self.wake([lane.source])

    def _tell(self, error: Exception) -> None:
        self._metrics.failures.labels("publish").inc()
        if not self._failing:
            known = isinstance(error, (*OUTAGE, KafkaError, HeadraceError))
            log.warning(
                "watched samples wait to be published: %s", error, exc_info=None if known else error
            )
        self._failing = True
