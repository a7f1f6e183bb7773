"""Puts together what ingest forwards to the alerts process, and publishes it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from producers.steady import SteadyProducer
from schemas.batches import Source
from schemas.errors import HeadraceError, Temporary
from sinks.outages import OUTAGE
from sinks.watched import Outbox
from stream.ingest.forwarding import Forwarding
from stream.ingest.metrics import WatchedMetrics
from stream.ingest.parcels import PART_BYTES
from stream.ingest.publishing import Publisher
from stream.ingest.watching import Rules, Watching

log = logging.getLogger(__name__)

CONNECT_WITHIN = 10.0
"""Seconds that a start waits for the watched topic: the first batch is to be forwarded, too."""

MAX_RECORD_BYTES = PART_BYTES + (1 << 20)
"""A part, and a last row with all that it may carry; the topic takes 4 MiB."""


@dataclass(frozen=True)
class Forwarder:
    """The parts that the rest of ingest meets."""

    watching: Watching
    forwarding: Forwarding
    publisher: Publisher

    async def flush(self) -> None:
        """Publish what the last batches posted, if that can be done now; if not, the next process does."""
        with suppress(*OUTAGE, KafkaError, HeadraceError):
            await self.publisher.flush()


@asynccontextmanager
async def forwarder(
    kafka: str,
    topic: str,
    outbox: Outbox,
    rules: Rules,
    *,
    epochs: Mapping[Source, int],
    registry: CollectorRegistry,
) -> AsyncIterator[Forwarder]:
    """The forwarder, with a producer of its own: what it suffers is not to touch the dead letters."""
    producer = SteadyProducer(
        kafka,
        [topic],
        client_id="headrace-ingest-watched",
        linger_ms=0,  # records come by the batch already
        max_record_bytes=MAX_RECORD_BYTES,
        compress=False,
    )
    producer.start()
    try:
        metrics = WatchedMetrics(registry)
        publisher = Publisher(outbox, producer, topic, metrics=metrics)
        watching = Watching(
            rules,
            outbox.describe,
            partial(producer.partitions, topic),
            metrics=metrics,
            clock=time.monotonic,
        )
        forwarding = Forwarding(
            watching,
            epochs=epochs,
            metrics=metrics,
            publisher=publisher,
            clock=time.monotonic,
            now=lambda: time.time_ns() // 1000,
        )
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await producer.connected()
        except TimeoutError:
            log.error("rules miss the samples until Kafka has the topic %s", topic)  # noqa: TRY400 # no traceback needed
        yield Forwarder(watching, forwarding, publisher)
    finally:
        with suppress(Temporary):
            await producer.close(timeout=1)
