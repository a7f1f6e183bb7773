"""Consumes run events: each is taken into its run, and the last finished one starts the post-test."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from schemas.errors import Invalid, Temporary
from schemas.runs import RUN_EVENT, RunEvent
from sinks.run_states import State
from workflows.metrics import Metrics

GROUP = "headrace-runs"
"""Kafka group of the workers, after the topics' prefix."""

_MAX_DETAIL = 500
_MAX_BURIED = 1024 * 1024
"""An event may be larger than the dead-letter topic takes; its beginning is enough to see what it was."""

_STOP_WITHIN = 3.0
"""Seconds: leaving the group takes milliseconds while there is a broker to tell."""

_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Takes events into runs; see `sinks.runs.RunStore.record`."""

    async def record(self, event: RunEvent) -> State:
        """Take an event into its run and return the state that follows."""
        ...


@dataclass(frozen=True)
class Backoff:
    """Seconds before another attempt: doubled from `first` up to `longest`."""

    first: float = 0.5
    longest: float = 30.0

    def after(self, failures: int) -> float:
        """The pause after this many failures in a row."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 16))


class RunEvents:
    """The consumer of one worker process. An event's offset is committed once it is handled.

    `make_consumer` and `make_producer` return unstarted clients: both are made anew after a failure,
    because neither aiokafka client promises to be of use after one.
    """

    def __init__(
        self,
        *,
        topic: str,
        dead_letters: str,
        make_consumer: Callable[[], AIOKafkaConsumer],
        make_producer: Callable[[], AIOKafkaProducer],
        runs: Recorder,
        start_post_test: Callable[[UUID], Awaitable[None]],
        metrics: Metrics,
        backoff: Backoff = Backoff(),
    ) -> None:
        self._topic = topic
        self._dead_letters = dead_letters
        self._make_consumer = make_consumer
        self._make_producer = make_producer
        self._runs = runs
        self._start_post_test = start_post_test
        self._metrics = metrics
        self._backoff = backoff
        self.consuming = False

    async def run(self) -> None:
        """Consume until cancelled. Raises Permanent when the database refuses for good."""
        failures = 0
        while True:
            consumer = self._make_consumer()
            try:
                await consumer.start()
                consumer.subscribe([self._topic])
                self.consuming = True
                while True:
                    record = await consumer.getone()
                    await self._handle(record)
                    await consumer.commit()
                    failures = 0
            except KafkaError as error:
                failures += 1
                pause = self._backoff.after(failures)
                _log.warning("Run events can't be read, next attempt in %.1f s: %r", pause, error)
            finally:
                self.consuming = False
                await _stopped(consumer)
            await asyncio.sleep(pause)

    async def _handle(self, record: ConsumerRecord) -> None:
        """Handle one event, for as long as it takes the database, Temporal or Kafka to come back."""
        failures = 0
        while True:
            try:
                try:
                    await self._take(record.value)
                except Invalid as invalid:
                    await self._bury(record, invalid)
            except (Temporary, KafkaError) as error:
                failures += 1
                pause = self._backoff.after(failures)
                _log.warning(
                    "The run event at offset %d waits, next attempt in %.1f s: %s",
                    record.offset,
                    pause,
                    error,
                )
                await asyncio.sleep(pause)
            else:
                return

    async def _take(self, value: bytes | None) -> None:
        try:
            event = RUN_EVENT.validate_json(value or b"")
        except ValidationError as error:
            raise Invalid("bad_run_event", str(error)) from error
        if await self._runs.record(event) == "aggregating":
            await self._start_post_test(event.execution_id)
            self._metrics.workflows_started.inc()
        self._metrics.events.labels(event.event).inc()

    async def _bury(self, record: ConsumerRecord, invalid: Invalid) -> None:
        """Publish an event as a dead letter, in the form that ingest gives to its own."""
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
        producer = self._make_producer()
        try:
            await producer.start()
            await producer.send_and_wait(
                self._dead_letters,
                value,
                f"{record.topic}/{record.partition}/{record.offset}".encode(),
                headers=[(k, v.encode(errors="backslashreplace")) for k, v in headers.items()],
            )
        finally:
            await _stopped(producer)
        self._metrics.events_dead_lettered.labels(invalid.reason).inc()
        _log.error("The run event at offset %d is a dead letter: %s", record.offset, invalid)


async def _stopped(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, but don't wait for a broker that is away."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(_STOP_WITHIN):
            await client.stop()
