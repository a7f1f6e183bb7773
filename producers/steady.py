"""Keeps a Kafka producer connected, and replaces it when a refused batch has broken its sequence.

A process may start before its broker and outlive many of its restarts: whoever sends through here never
makes a producer himself and never has to know that a new one was needed (see `producers.kafka`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from producers.kafka import LINGER_MS, close_producer, make_producer
from schemas.errors import HeadraceError, Permanent, Temporary
from schemas.topics import MAX_RECORD_BYTES

_log = logging.getLogger(__name__)

_NOT_TAKEN_OVER = (KafkaTimeoutError, MessageSizeTooLargeError, UnknownTopicOrPartitionError)
"""Errors of `send` that leave the producer whole: the record never entered it."""


Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 10.0
    """One attempt to connect; a broker that is stopped, not dead, accepts connections and says nothing."""
    retry: float = 1.0
    """Between attempts, and between looks at a broker that answered."""
    answer: float = 3.0
    """For a look at the broker; a longer pause shows as not ready."""
    retire: float = 15.0
    """For what a broken producer still holds for partitions that are not broken."""


class SteadyProducer:
    """A producer for a few topics, connected whenever a broker is there. Start it, send, close it."""

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        *,
        client_id: str,
        linger_ms: int = LINGER_MS,
        max_record_bytes: int = MAX_RECORD_BYTES,
        compress: bool = True,
        patience: Patience = Patience(),
    ) -> None:
        self.problem = "not started"
        """Why a record would not be delivered now, for people; empty when all is well."""
        self._bootstrap = bootstrap
        self._topics = topics
        self._client_id = client_id
        self._linger_ms = linger_ms
        self._max_record_bytes = max_record_bytes
        self._compress = compress
        self._patience = patience
        self._producer: AIOKafkaProducer | None = None
        self._connected = asyncio.Event()
        self._broken = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self.problem = "connecting to Kafka"
        self._keeping = asyncio.create_task(self._keep_connected())

    async def connected(self) -> None:
        """Wait until a producer is there."""
        await self._connected.wait()

    def partitions(self, topic: str) -> int:
        """How many partitions one of the topics has; 0 while that is not known."""
        if self._producer is None:
            return 0
        return len(self._producer.client.cluster.partitions_for_topic(topic) or ())

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> "asyncio.Future[RecordMetadata]":
        """Hand a record over, waiting for room. The future ends as `producers.kafka` says.

        Its KafkaError can be read with `explained`. A cancelled call hands nothing over.

        Raises:
            Temporary: the record was not taken over; sending it again is safe.
            Permanent: the record is too large.
        """
        producer = self._producer
        if producer is None:
            raise Temporary(self.problem)
        try:
            future: asyncio.Future[RecordMetadata] = await producer.send(
                topic, value, key, partition=partition, headers=headers
            )
        except KafkaError as error:
            if not isinstance(error, _NOT_TAKEN_OVER):
                if producer is self._producer:
                    self._break()
                raise Temporary(f"Kafka refused an earlier record ({error!r}).") from error
            raise explained(error) from error
        future.add_done_callback(lambda done: self._delivered(producer, done))
        return future

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 # a budget for several steps
        """Deliver what was taken over and close.

        Raises:
            Temporary: not everything was acknowledged within `timeout` seconds; its futures raise.
        """
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        producer, self._producer = self._producer, None
        self.problem = "closed"
        try:
            if producer is not None:
                await close_producer(producer, timeout=timeout)
        finally:
            for task in self._retiring:
                task.cancel()
            await asyncio.gather(*self._retiring, return_exceptions=True)

    def _delivered(
        self, producer: AIOKafkaProducer, future: "asyncio.Future[RecordMetadata]"
    ) -> None:
        failed = not future.cancelled() and future.exception() is not None
        if failed and producer is self._producer:  # its successor is not to blame
            self._break()

    def _break(self) -> None:
        if not self._broken.is_set():
            self._broken.set()
            self._connected.clear()
            self._producer = None
            self._note("making a new producer, because Kafka refused a record")

    async def _keep_connected(self) -> None:
        while True:
            producer = await self._connect()
            self._broken.clear()
            self._producer = producer
            self._connected.set()
            await self._watch(producer)
            task = asyncio.create_task(self._retire(producer))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _connect(self) -> AIOKafkaProducer:
        while True:
            producer = make_producer(
                self._bootstrap,
                client_id=self._client_id,
                linger_ms=self._linger_ms,
                max_record_bytes=self._max_record_bytes,
                compress=self._compress,
            )
            try:
                async with asyncio.timeout(self._patience.connect):
                    await producer.start()
                    for topic in self._topics:
                        await producer.client.add_topic(topic)
                problem = self._missing_topic(producer)
            except (KafkaError, OSError, TimeoutError) as error:
                problem = f"Kafka at {self._bootstrap} does not answer: {error or 'timeout'}"
            except asyncio.CancelledError:
                await producer.stop()
                raise
            self._note(problem)
            if not problem:
                return producer
            await producer.stop()
            await asyncio.sleep(self._patience.retry)

    async def _watch(self, producer: AIOKafkaProducer) -> None:
        """Look at the broker from time to time; return when the producer is broken."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.retry):
                    await self._broken.wait()
                return
            answered = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._patience.answer):
                    answered = await producer.client.force_metadata_update()
            if self._broken.is_set():
                return
            self._note(
                self._missing_topic(producer)
                if answered
                else f"Kafka at {self._bootstrap} does not answer"
            )

    def _missing_topic(self, producer: AIOKafkaProducer) -> str:
        for topic in self._topics:
            if not producer.client.cluster.partitions_for_topic(topic):
                return f"Kafka has no topic {topic}: run `headrace migrate`"
        return ""

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        with contextlib.suppress(HeadraceError):  # the futures of what was left tell it
            await close_producer(producer, timeout=self._patience.retire)

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            _log.log(logging.WARNING if problem else logging.INFO, problem or "connected to Kafka")
        self.problem = problem


def explained(error: BaseException) -> Temporary | Permanent:
    """A failed delivery in our words: may the same record be sent again, or must a person act?"""
    if isinstance(error, OutOfOrderSequenceNumber):
        return Temporary("Kafka refused an earlier record; this one was not stored. Send it again.")
    if isinstance(error, UnknownTopicOrPartitionError):
        return Temporary("Kafka has no such topic: run `headrace migrate`.")
    if isinstance(error, KafkaTimeoutError) or (isinstance(error, KafkaError) and error.retriable):
        return Temporary(f"Kafka did not take the record over: {error!r}")
    return Permanent(f"Kafka refuses the record: {error!r}")
