"""Keeps a consumer in its group through outages, and reads whenever it is its turn."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from producers.k6.source.config import SourceConfig
from producers.k6.source.group import OneReadsAll, Turn
from producers.k6.source.reading import Reading
from producers.k6.source.telemetry import Telemetry
from producers.kafka import close_producer, make_producer
from schemas.errors import HeadraceError
from schemas.k6_metrics import MetricTypes

_FETCH = 512 * 1024
"""Bytes of a partition's fetch; with the batch it bounds the memory."""

_SESSION_MS = 6_000
"""The broker's least: a successor of a killed process waits as long."""

_RETRY = 2.0
_CLOSING = 3.0

_log = logging.getLogger(__name__)


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
        self._at_work: Reading | None = None

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
            self._at_work = Reading(self._config, self._telemetry, self._types, self._clock)
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
