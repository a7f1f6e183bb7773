"""Delivers envelopes in order, each once, through as many producers as it takes; and the run's events.

A producer whose future raises is of no further use (`producers.kafka`). What it had not acknowledged is
in doubt: the broker is asked how far it came, and only the rest is sent by the next producer.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import RecordMetadata

from producers.k6.connection import Connection, Say
from producers.k6.doubt import RANGE_HEADER, Since, Span, appended, in_header, published
from producers.k6.envelopes import Envelope
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Permanent
from schemas.runs import RUN_EVENT, PartitionSent, RunAborted, RunFinished, RunStarted
from schemas.topics import Topics

EVENT_BYTES = 3 << 20
"""Largest run event; the topic takes 4 MiB. A finished event sheds k6's summary to fit."""


class Source(Protocol):
    """Where envelopes come from, in order."""

    async def get(self) -> Envelope | None:
        """The next envelope, or None after the last; loses nothing when cancelled."""
        ...


@dataclass(frozen=True)
class Target:
    """Where one runner's points go. `imported` marks the records, so that ingest accepts old timestamps."""

    bootstrap: str
    topics: Topics
    tenant_id: UUID
    execution_id: UUID
    runner: str
    imported: bool = False

    @property
    def source(self) -> str:
        """The envelopes' source: a runner's points share a key, so that they stay in order."""
        return f"k6/{self.execution_id}/{self.runner}"

    @property
    def key(self) -> bytes:
        """The records' key."""
        return f"{self.tenant_id}/{self.source}".encode()


@dataclass
class _Entry:
    start: int
    points: int
    """Up to the end of this one."""
    envelope: Envelope
    acknowledged: "asyncio.Future[RecordMetadata] | None" = None


class Delivery:
    """One runner's delivery. `drain` may run beside `publish`; `stop` comes after both.

    `at` and `points` say where the source begins, `sent` what came before that. `in_doubt`: an earlier
    delivery of the same may have come further; `located` finds out, and `drain` leaves that part out.
    """

    def __init__(
        self,
        to: Target,
        since_ms: int,
        warn: Say,
        *,
        at: int = 0,
        points: int = 0,
        sent: list[PartitionSent] | None = None,
        in_doubt: bool = False,
    ) -> None:
        self._to, self._warn = to, warn
        self._flags = [(IMPORT_HEADER, b"1")] if to.imported else []
        self._since_ms = since_ms
        self._taken = (at, points)
        self._sent = {one.partition: one for one in sent or []}
        self._in_doubt = in_doubt
        self._present: dict[int, Span] = {}
        """In the log though never acknowledged to us, by their start."""
        self._window: deque[_Entry] = deque()
        self._connection = Connection(to.bootstrap, warn, EVENT_BYTES)
        self.end = at
        """Position up to which everything is acknowledged."""
        self.points = points
        """Acknowledged by now, by this delivery or an earlier one."""
        self.envelopes = 0
        """Acknowledged by now, by this delivery."""

    def hurry(self) -> None:
        """Give up from now on at an error that only a person can mend: nothing comes any more."""
        self._connection.patient = False

    @property
    def sent(self) -> list[PartitionSent]:
        """Acknowledged points and last offset of each partition."""
        return [self._sent[partition] for partition in sorted(self._sent)]

    async def located(self) -> int:
        """How far an earlier delivery came: the position up to which everything is acknowledged.

        Raises:
            Permanent: it can't be known until a person acts, and nobody waits for it.
        """

        async def ask(_producer: AIOKafkaProducer) -> None:
            if self._in_doubt:
                await self._ask()

        await self._connection.steadily(ask)
        while span := self._present.pop(self.end, None):
            self._account(span)
        self._taken = self.end, self.points
        return self.end

    async def drain(self, source: Source) -> None:
        """Deliver everything that the source gives; returns when all is acknowledged.

        Raises:
            Permanent: it can't be delivered until a person acts, and nobody waits for it.
        """

        async def pump(producer: AIOKafkaProducer) -> None:
            try:
                if self._in_doubt:
                    await self._ask()
                await self._pump(producer, source)
            except KafkaError:
                await self._connection.discard(producer)
                self._doubt()
                raise

        await self._connection.steadily(pump)

    async def publish(self, event: RunStarted | RunFinished | RunAborted) -> None:
        """Publish a run event; it may arrive twice after a failure, which its readers allow.

        Raises:
            Permanent: as `drain`.
        """
        value = RUN_EVENT.dump_json(event)
        if isinstance(event, RunFinished) and len(value) > EVENT_BYTES:
            self._warn("k6's summary is too large for the run's finished event and was left out.")
            value = RUN_EVENT.dump_json(event.model_copy(update={"summary": None}))
        topic, key = self._to.topics.run_events, str(event.execution_id).encode()
        await self._connection.steadily(
            lambda producer: producer.send_and_wait(topic, value, key=key)
        )

    async def published(self) -> set[str]:
        """Which kinds of event this runner has published. Raises Permanent as `drain`."""
        topic, key = self._to.topics.run_events, str(self._to.execution_id).encode()
        records = await self._connection.steadily(
            lambda _: published(self._to.bootstrap, topic, key)
        )
        events = [RUN_EVENT.validate_json(value) for _, value in records]
        return {one.event for one in events if one.runner == self._to.runner}

    async def stop(self) -> None:
        """Close, waiting a little for outstanding acknowledgements."""
        await self._connection.close()
        self._doubt()

    async def _pump(self, producer: AIOKafkaProducer, source: Source) -> None:
        for entry in list(self._window):
            await self._hand(producer, entry)
        while (envelope := await source.get()) is not None:
            start, before = self._taken
            entry = _Entry(start, before + envelope.points, envelope)
            self._taken = envelope.end, entry.points
            self._check(entry)
            self._window.append(entry)
            await self._hand(producer, entry)
            self._settle()
        while self._window:
            if (waiting := self._window[0].acknowledged) is not None:
                await asyncio.wait({waiting})
            self._settle()

    def _check(self, entry: _Entry) -> None:
        """What is in the log already must have been cut as it is cut now."""
        end, there = entry.envelope.end, self._present.get(entry.start)
        # The first of the others is the next, as they lie in the log in order.
        inside = self._present and entry.start < next(iter(self._present)) < end
        if inside or (there and there.end != end):
            raise Permanent(
                "A part of this was sent in other envelopes than now: has the file changed since, or "
                "headrace? Finish it with what it was begun with."
            )

    async def _hand(self, producer: AIOKafkaProducer, entry: _Entry) -> None:
        if entry.start in self._present:
            return
        span = in_header(entry.start, entry.envelope.end, entry.points)
        headers = [(RANGE_HEADER, span), *self._flags]
        while entry.acknowledged is None:
            # The producer's buffer is full while the broker is away; it says so by this timeout.
            with contextlib.suppress(KafkaTimeoutError):
                entry.acknowledged = await producer.send(
                    self._to.topics.samples, entry.envelope.value, key=self._to.key, headers=headers
                )

    def _settle(self) -> None:
        """Account for what is acknowledged at the head of the window. Raises KafkaError of a failed one."""
        while self._window:
            entry = self._window[0]
            span = self._present.pop(entry.start, None)
            if span is None:
                if entry.acknowledged is None or not entry.acknowledged.done():
                    return
                record = entry.acknowledged.result()
                end = entry.envelope.end
                span = Span(entry.start, end, entry.points, record.partition, record.offset)
            self._window.popleft()
            self.envelopes += 1
            self._account(span)

    def _account(self, now: Span) -> None:
        before = self._sent.get(now.partition)
        self._sent[now.partition] = PartitionSent(
            partition=now.partition,
            points=now.points - self.points + (before.points if before else 0),
            last_offset=max(now.offset, before.last_offset if before else 0),
        )
        self.end, self.points = now.end, now.points

    async def _ask(self) -> None:
        since = Since({p: one.last_offset for p, one in self._sent.items()}, self._since_ms)
        found = await appended(self._to.bootstrap, self._to.topics.samples, self._to.key, since)
        self._present |= {span.start: span for span in found}
        self._in_doubt = False

    def _doubt(self) -> None:
        """Forget the acknowledgements that will not come; whether those records arrived is in doubt."""
        with contextlib.suppress(KafkaError):
            self._settle()
        for entry in self._window:
            if entry.acknowledged is not None:
                self._in_doubt = True
                if entry.acknowledged.done():
                    entry.acknowledged.exception()  # looked at, so that asyncio does not report it
                entry.acknowledged = None
