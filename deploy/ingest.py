"""Puts the ingest process together: pool, series, decoder, delivery, pipeline, Faust, watchdog."""

import asyncio
import contextlib
import gc
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from deploy.consuming import crash_of, leave
from deploy.forwarding import Forwarder, forwarder
from producers.steady import SteadyProducer
from schemas.batches import Source
from schemas.errors import Permanent, Temporary
from schemas.named_queries import load
from schemas.topics import Topics
from schemas.window import Window
from sinks.database import connect_pool
from sinks.definitions import ChangesOfDefinitions
from sinks.delivery import Delivery
from sinks.outages import OUTAGE, classify
from sinks.series import Limits, SeriesDictionary
from sinks.tenants import KnownTenants
from sinks.transactions import Pool
from sinks.watched import Outbox
from stream.core.watchlist import WatchedRule
from stream.ingest.app import Consuming, create_app
from stream.ingest.dead_letters import DeadLetters
from stream.ingest.decode import Decoder
from stream.ingest.metrics import IngestMetrics
from stream.ingest.pipeline import Pipeline, Policy
from stream.ingest.positions import StoredPositions
from stream.ingest.watchdog import Progress, watch

log = logging.getLogger(__name__)

MAX_DEAD_LETTER_BYTES = 2 * 1024 * 1024 - 64 * 1024
"""A dead letter carries a record as large as any; its topic takes 2 MiB, headers included."""

FLUSH_WITHIN = 4.0
"""Seconds to store what is in hand, before the consumer group is left: a stop has ten in all."""


ReadRules = Callable[[Pool], Awaitable[Sequence[WatchedRule]]]
"""Reads every rule that is enabled."""


@dataclass(frozen=True)
class IngestConfig:
    """What an ingest process needs to know."""

    kafka: str
    database: str
    topics: Topics
    group: str
    window: Window = field(
        default_factory=lambda: Window(past=timedelta(days=30), future=timedelta(minutes=10))
    )
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    patience: float = 120.0
    """Seconds without progress after which the watchdog ends the process."""


@dataclass
class Ingest:
    """A running ingest process."""

    app: Any
    pipeline: Pipeline
    metrics: IngestMetrics
    changes: ChangesOfDefinitions
    forwarder: Forwarder
    lag: dict[Source, int] = field(default_factory=dict)
    """Records in Kafka that were not handed over yet, as of a moment ago."""

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        return {
            "consumer": self.app.consumer.settled,
            "dependencies": self.pipeline.outage is None,
        }


@asynccontextmanager
async def ingesting(
    config: IngestConfig, registry: CollectorRegistry, rules: ReadRules
) -> AsyncIterator[Ingest]:
    """Run ingestion inside the block; at its end store what is in hand.

    `rules` reads those whose samples are forwarded. Raises what crashed it, at the end of the block.
    """
    # One connection listens all the time, and one may have to end a stalled writer's session.
    pool = await connect_pool(
        config.database, role="headrace_writer", application="ingest", max_size=5
    )
    producer = SteadyProducer(
        config.kafka,
        [config.topics.dead_letters],
        client_id="headrace-ingest",
        max_record_bytes=MAX_DEAD_LETTER_BYTES,
    )
    try:
        metrics = IngestMetrics(registry)
        mode = await _storage_mode(pool)
        delivery = Delivery(pool, config.group, direct_compress=mode == "timescaledb")
        dictionary = SeriesDictionary(pool, config.limits)
        decoder = Decoder(
            dictionary,
            KnownTenants(pool, time.monotonic),
            config.window,
            now=lambda: time.time_ns() // 1000,
        )
        producer.start()
        await producer.connected()  # Faust, unlike this, gives up when no broker answers
        letters = DeadLetters(producer, config.topics.dead_letters)
        async with forwarder(
            config.kafka,
            config.topics.watched,
            Outbox(pool, config.group),
            partial(rules, pool),
            epochs=delivery.epochs,
            registry=registry,
        ) as watched:
            pipeline = Pipeline(
                decoder,
                delivery,
                letters.bury,
                metrics=metrics,
                forwarding=watched.forwarding,
                policy=config.policy,
            )

            def changed() -> None:
                dictionary.ask_again()
                watched.watching.ask_again()
                metrics.changes.inc()

            changes = ChangesOfDefinitions(pool, changed)
            with tempfile.TemporaryDirectory(prefix="headrace-ingest-") as datadir:
                app = create_app(
                    Consuming(config.kafka, config.group, config.topics.samples),
                    StoredPositions(delivery, metrics, watched.publisher.take_over),
                    pipeline,
                    Path(datadir),
                )
                found = Ingest(app, pipeline, metrics, changes, watched)
                async with _running(found, config) as ingest:
                    yield ingest
    finally:
        # What is not committed by now is read again: nothing to wait for.
        pool.terminate()
        with contextlib.suppress(Temporary):
            await producer.close(timeout=1)


@asynccontextmanager
async def _running(ingest: Ingest, config: IngestConfig) -> AsyncIterator[Ingest]:
    app, pipeline = ingest.app, ingest.pipeline
    # Decoding makes hundreds of thousands of short-lived tuples that are in no cycle.
    gc.set_threshold(200_000, 20, 50)
    app.finalize()
    await app.start()
    # The group ends the caller's block when any of them fails, and says why.
    async with asyncio.TaskGroup() as tasks:
        watched = Progress(
            lambda: not pipeline.idle or any(ingest.lag.values()),
            lambda: (pipeline.progressed, sum(app.consumer.at.values())),
        )
        publishing = tasks.create_task(ingest.forwarder.publisher.run())
        background = [
            publishing,
            tasks.create_task(pipeline.run()),
            tasks.create_task(crash_of(app)),
            tasks.create_task(_watch_lag(ingest)),
            tasks.create_task(ingest.changes.run()),
            tasks.create_task(watch(watched.stuck_for, config.patience)),
        ]
        try:
            yield ingest
            app.consumer.stop_flow()
            await asyncio.wait_for(_flush(ingest, publishing), FLUSH_WITHIN)
        except TimeoutError:
            log.warning("stopped with work in hand; it is read again from the stored offsets")
        finally:
            for task in background:
                task.cancel()
            await leave(app)


async def _flush(ingest: Ingest, publishing: "asyncio.Task[None]") -> None:
    """Store what is in hand, and publish what that posted."""
    await ingest.pipeline.drain()
    publishing.cancel()
    await asyncio.wait([publishing])
    await ingest.forwarder.flush()


async def _watch_lag(ingest: Ingest) -> None:
    while True:
        ingest.lag = await ingest.app.consumer.lag()
        ingest.metrics.lag.clear()  # partitions that went to another worker are its to report
        for source, lag in ingest.lag.items():
            ingest.metrics.lag.labels(*source).set(lag)
        await asyncio.sleep(2)


async def _storage_mode(pool: "asyncpg.Pool[asyncpg.Record]") -> str:
    query = load("sinks.sql", "ingest.sql")["storage_mode"]
    while True:
        try:
            mode = await pool.fetchval(query)
        except OUTAGE as error:
            verdict = classify(error)
            if isinstance(verdict, Permanent):
                raise verdict from error
            log.warning("waiting for the database: %s", verdict)
            await asyncio.sleep(1)
        else:
            if mode is None:
                raise Permanent("The database has no schema yet: run `headrace migrate`.")
            return str(mode)
