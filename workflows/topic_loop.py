"""Consumes a topic record by record: each is handled, for as long as that takes, and then committed."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError

from schemas.errors import Invalid, Temporary

_MAX_DETAIL = 500
_MAX_BURIED = 1024 * 1024
"""A record may be larger than the dead-letter topic takes; its beginning is enough to see what it was."""

_STOP_WITHIN = 3.0
"""Seconds: leaving the group takes milliseconds while there is a broker to tell."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """Seconds before another attempt: doubled from `first` up to `longest`."""

    first: float = 0.5
    longest: float = 30.0

    def after(self, failures: int) -> float:
        """The pause after this many failures in a row."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 16))


@dataclass(frozen=True)
class Source:
    """A topic, where its bad records go, and how clients are made.

    Both functions return unstarted clients: they are made anew after a failure, because neither aiokafka
    client promises to be of use after one.
    """

    topic: str
    dead_letters: str
    make_consumer: Callable[[], AIOKafkaConsumer]
    make_producer: Callable[[], AIOKafkaProducer]


class Taker(Protocol):
    """Handles the records of a topic. Whatever it did before, it may be given a record again."""

    what: str
    """A record in words, for the log."""

    async def take(self, value: bytes | None) -> None:
        """Handle a record.

        Raises:
            Invalid: it can never be handled: it becomes a dead letter.
            Temporary: it is to be tried again, and nothing else before it.
            Permanent: the database refuses for good.
        """
        ...

    def buried(self, reason: str) -> None:
        """Hear that a record became a dead letter."""
        ...


class TopicLoop:
    """The consumer of one topic in one worker process."""

    def __init__(self, source: Source, taker: Taker, backoff: Backoff = Backoff()) -> None:
        self._source = source
        self._taker = taker
        self._backoff = backoff
        self.consuming = False

    async def run(self) -> None:
        """Consume until cancelled. Raises Permanent as the taker does."""
        failures = 0
        while True:
            consumer = self._source.make_consumer()
            try:
                await consumer.start()
                consumer.subscribe([self._source.topic])
                self.consuming = True
                while True:
                    record = await consumer.getone()
                    await self._handle(record)
                    await consumer.commit()
                    failures = 0
            except KafkaError as error:
                failures += 1
                pause = self._backoff.after(failures)
                _log.warning(
                    "%s can't be read, next attempt in %.1f s: %r", self._source.topic, pause, error
                )
            finally:
                self.consuming = False
                await _stopped(consumer)
            await asyncio.sleep(pause)

    async def _handle(self, record: ConsumerRecord) -> None:
        """Handle one record, for as long as it takes the database, Temporal or Kafka to come back."""
        failures = 0
        while True:
            try:
                try:
                    await self._taker.take(record.value)
                except Invalid as invalid:
                    await self._bury(record, invalid)
            except (Temporary, KafkaError) as error:
                failures += 1
                pause = self._backoff.after(failures)
                _log.warning(
                    "The %s at offset %d waits, next attempt in %.1f s: %s",
                    self._taker.what,
                    record.offset,
                    pause,
                    error,
                )
                await asyncio.sleep(pause)
            else:
                return

    async def _bury(self, record: ConsumerRecord, invalid: Invalid) -> None:
        """Publish a record as a dead letter, in the form that ingest gives to its own."""
        headers = {
            "reason": invalid.reason,
            "detail": str(invalid)[:_MAX_DETAIL],
            "unit": "record",
            "source-topic": record.topic,
            "source-partition": str(record.partition),
            "source-offset": str(record.offset),
            "source-timestamp-ms": str(record.timestamp),
        }
        value = record.value
        if value is not None and len(value) > _MAX_BURIED:
            headers["truncated-from-bytes"] = str(len(value))
            value = value[:_MAX_BURIED]
        producer = self._source.make_producer()
        try:
            await producer.start()
            await producer.send_and_wait(
                self._source.dead_letters,
                value,
                f"{record.topic}/{record.partition}/{record.offset}".encode(),
                headers=[(k, v.encode(errors="backslashreplace")) for k, v in headers.items()],
            )
        finally:
            await _stopped(producer)
        self._taker.buried(invalid.reason)
        _log.error(
            "The %s at offset %d is a dead letter: %s", self._taker.what, record.offset, invalid
        )


async def _stopped(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, but don't wait for a broker that is away."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_STOP_WITHIN):
            await client.stop()
