"""Delivers envelopes in order, each once, through as many producers as it takes; then the run's events.

A producer whose future raises is of no further use (`producers.kafka`). What it had not acknowledged is
in doubt: the broker is asked which of it arrived, and only the rest is sent by the next producer.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from aiokafka.structs import RecordMetadata

from producers.k6.doubt import SEQUENCE_HEADER, Position, Since, appended
from producers.k6.envelopes import Envelope
from producers.kafka import close_producer, make_producer
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Permanent, Temporary
from schemas.runs import RUN_EVENT, PartitionSent, RunAborted, RunFinished, RunStarted
from schemas.topics import Topics

EVENT_BYTES = 3 << 20
"""Largest run event; the topic takes 4 MiB. A finished event sheds k6's summary to fit."""

_RETRY = 1.0
"""Seconds between attempts to connect."""

_CLOSING = 3.0
"""Seconds that a producer gets to have its last requests acknowledged."""


class Source(Protocol):
    """Where envelopes come from, in order."""

    async def get(self) -> Envelope | None:
        """The next envelope, or None after the last; loses nothing when cancelled."""
        ...


@dataclass(frozen=True)
class Destination:
    """Where one bridge's records go. `imported` marks them, so that ingest accepts old timestamps."""

    bootstrap: str
    topics: Topics
    key: str
    imported: bool = False


@dataclass
class _Entry:
    number: int
    envelope: Envelope
    acknowledged: "asyncio.Future[RecordMetadata] | None" = None


@dataclass(frozen=True)
class Undelivered:
    """What a stopped delivery had taken and not got acknowledged. `in_doubt`: some of it may have arrived."""

    first: int
    envelopes: list[Envelope]
    in_doubt: bool


class Delivery:
    """One bridge's delivery. `drain` may run beside `publish`; `stop` comes after both."""

    def __init__(
        self,
        to: Destination,
        since_ms: int,
        warn: Callable[[str], None],
        *,
        first: int = 0,
        sent: list[PartitionSent] | None = None,
        in_doubt: bool = False,
    ) -> None:
        self._to, self._warn = to, warn
        self._key = to.key.encode()
        self._flags = [(IMPORT_HEADER, b"1")] if to.imported else []
        self._since_ms = since_ms
        self._next = first
        self._sent = {one.partition: one for one in sent or []}
        self._in_doubt = in_doubt
        self._present: dict[int, Position] = {}
        self._window: deque[_Entry] = deque()
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._warned = False
        self.patient = True
        """Whether to go on after an error that only a person can mend: yes while k6 runs."""
        self.points = 0
        """Acknowledged by now."""
        self.envelopes = 0
        """Acknowledged by now."""

    @property
    def sent(self) -> list[PartitionSent]:
        """Acknowledged points and last offset of each partition."""
        return [self._sent[partition] for partition in sorted(self._sent)]

    async def drain(self, source: Source) -> None:
        """Deliver everything that the source gives; returns when all is acknowledged.

        Raises:
            Permanent: it can't be delivered until a person acts, and `patient` is off.
        """
        while True:
            producer = await self._connected()
            try:
                if self._in_doubt:
                    since = Since({p: s.last_offset for p, s in self._sent.items()}, self._since_ms)
                    self._present |= await appended(
                        self._to.bootstrap, self._to.topics.samples, self._key, since
                    )
                    self._in_doubt = False
                await self._pump(producer, source)
            except KafkaError as error:
                await self._discard(producer)
                self._doubt()
                await self._trouble(error)
            else:
                return

    async def publish(self, event: RunStarted | RunFinished | RunAborted) -> None:
        """Publish a run event; it may arrive twice after a failure, which its readers allow.

        Raises:
            Permanent: as `drain`.
        """
        value = RUN_EVENT.dump_json(event)
        if isinstance(event, RunFinished) and len(value) > EVENT_BYTES:
            self._warn("k6's summary is too large for the run's finished event and was left out.")
            value = RUN_EVENT.dump_json(event.model_copy(update={"summary": None}))
        key = str(event.execution_id).encode()
        while True:
            producer = await self._connected()
            try:
                await producer.send_and_wait(self._to.topics.run_events, value, key=key)
            except KafkaError as error:
                await self._discard(producer)
                await self._trouble(error)
            else:
                return

    async def stop(self) -> Undelivered:
        """Close, waiting a little for outstanding acknowledgements."""
        if self._producer is not None:
            await self._discard(self._producer)
        self._settle_some()
        self._doubt()
        first = self._window[0].number if self._window else self._next
        return Undelivered(first, [entry.envelope for entry in self._window], self._in_doubt)

    async def _pump(self, producer: AIOKafkaProducer, source: Source) -> None:
        for entry in list(self._window):
            await self._hand(producer, entry)
        while (envelope := await source.get()) is not None:
            entry = _Entry(self._next, envelope)
            self._next += 1
            self._window.append(entry)
            await self._hand(producer, entry)
            self._settle()
        while self._window:
            if (waiting := self._window[0].acknowledged) is not None:
                await asyncio.wait({waiting})
            self._settle()

    async def _hand(self, producer: AIOKafkaProducer, entry: _Entry) -> None:
        if entry.number in self._present:
            return
        headers = [(SEQUENCE_HEADER, b"%d" % entry.number), *self._flags]
        while entry.acknowledged is None:
            # The producer's buffer is full while the broker is away; it says so by this timeout.
            with contextlib.suppress(KafkaTimeoutError):
                entry.acknowledged = await producer.send(
                    self._to.topics.samples, entry.envelope.value, key=self._key, headers=headers
                )

    def _settle(self) -> None:
        """Account for what is acknowledged at the head of the window. Raises KafkaError of a failed one."""
        while self._window:
            entry = self._window[0]
            position = self._present.pop(entry.number, None)
            if position is None:
                if entry.acknowledged is None or not entry.acknowledged.done():
                    return
                record = entry.acknowledged.result()
                position = Position(record.partition, record.offset)
            self._window.popleft()
            self.envelopes += 1
            self.points += entry.envelope.points
            before = self._sent.get(position.partition)
            self._sent[position.partition] = PartitionSent(
                partition=position.partition,
                points=entry.envelope.points + (before.points if before else 0),
                last_offset=position.offset,
            )

    def _settle_some(self) -> None:
        with contextlib.suppress(KafkaError):
            self._settle()

    def _doubt(self) -> None:
        """Forget the acknowledgements that will not come; whether those records arrived is in doubt."""
        self._settle_some()
        for entry in self._window:
            if entry.acknowledged is not None:
                self._in_doubt = True
                if entry.acknowledged.done():
                    entry.acknowledged.exception()  # looked at, so that asyncio does not report it
                entry.acknowledged = None

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            while self._producer is None:
                producer = make_producer(
                    self._to.bootstrap, client_id="headrace-k6", max_record_bytes=EVENT_BYTES
                )
                try:
                    await producer.start()
                except KafkaError as error:
                    await producer.stop()
                    await self._trouble(error)
                except BaseException:
                    await producer.stop()
                    raise
                else:
                    self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            with contextlib.suppress(KafkaError, Temporary):
                await close_producer(producer, timeout=_CLOSING)

    async def _trouble(self, error: KafkaError) -> None:
        """Wait before the next attempt; say once that there is a problem."""
        absent = isinstance(error, UnknownTopicOrPartitionError)
        what = (
            "has no such topic: run `headrace migrate`"
            if absent
            else f"gives no answer ({error!r})"
        )
        problem = f"Kafka at {self._to.bootstrap} {what}"
        if not self.patient and (absent or not error.retriable):
            raise Permanent(problem)
        if not self._warned:
            self._warned = True
            self._warn(f"{problem}. Points wait in the spool; delivery is tried again and again.")
        await asyncio.sleep(_RETRY)
