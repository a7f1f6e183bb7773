"""Puts the alerts process together: rules, lanes, Faust."""

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from deploy.consuming import crash_of, leave
from producers.topics import partitions_of
from schemas.batches import Source
from schemas.errors import Permanent, Temporary
from schemas.matchers import matching
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.definitions import ChangesOfDefinitions
from sinks.outages import OUTAGE, classify
from sinks.rules import load_rules
from sinks.transactions import Pool
from stream.alerts.lane import Lane
from stream.alerts.lanes import Lanes
from stream.alerts.ledger import Ledger
from stream.alerts.metrics import AlertsMetrics
from stream.core.lateness import Lateness
from stream.core.targets import LiveRule
from stream.ingest.app import Consuming, create_app

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between attempts while a server is away."""


@dataclass(frozen=True)
class AlertsConfig:
    """What an alerts process needs to know."""

    kafka: str
    database: str
    topics: Topics
    group: str
    lateness: Lateness = field(default_factory=Lateness)
    stale_after: timedelta = timedelta(minutes=5)


@dataclass
class Alerts:
    """A running alerts process."""

    app: Any
    lanes: Lanes

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        return {"consumer": self.app.consumer.settled}


@asynccontextmanager
async def alerting(config: AlertsConfig, registry: CollectorRegistry) -> AsyncIterator[Alerts]:
    """Evaluate rules inside the block. Raises what crashed it, at the end of the block."""
    pool = await connect_pool(
        config.database, role="headrace_writer", application="alerts", max_size=2
    )
    try:
        metrics = AlertsMetrics(registry)
        lanes = Lanes(
            partial(_lane, config, metrics),
            config.kafka,
            await _partitions(config.kafka, config.topics.watched),
            metrics=metrics,
            now=_now,
        )
        changed = asyncio.Event()
        changed.set()
        await _follow(pool, lanes, changed)
        with tempfile.TemporaryDirectory(prefix="headrace-alerts-") as datadir:
            consuming = Consuming(config.kafka, config.group, config.topics.watched)
            app = create_app(consuming, lanes, lanes, Path(datadir))
            async with _running(Alerts(app, lanes), pool, changed) as alerts:
                yield alerts
    finally:
        pool.terminate()


@asynccontextmanager
async def _running(alerts: Alerts, pool: Pool, changed: asyncio.Event) -> AsyncIterator[Alerts]:
    app, lanes = alerts.app, alerts.lanes
    app.finalize()
    await app.start()

    def position() -> dict[Source, int]:
        return {Source(*tp): at for tp, at in app.consumer.at.items()}

    async def follow() -> None:
        while True:
            await changed.wait()
            await _follow(pool, lanes, changed)

    # The group ends the caller's block when any of them fails, and says why.
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(lanes.run(position, app.consumer.told)),
            tasks.create_task(crash_of(app)),
            tasks.create_task(ChangesOfDefinitions(pool, changed.set).run()),
            tasks.create_task(follow()),
        ]
        try:
            yield alerts
        finally:
            for task in background:
                task.cancel()
            app.consumer.stop_flow()
            # What is not stored by now is evaluated again, to the same end.
            await lanes.close()
            await leave(app)


def _lane(config: AlertsConfig, metrics: AlertsMetrics, source: Source) -> Lane:
    return Lane(
        source,
        Ledger(config.kafka, config.topics, source.partition),
        lateness=config.lateness,
        stale_after=config.stale_after,
        metrics=metrics,
        now=_now,
    )


async def _follow(pool: Pool, lanes: Lanes, changed: asyncio.Event) -> None:
    """Read the rules and go on with them; waits for the database, with the rules there are."""
    while True:
        changed.clear()
        try:
            found = await load_rules(pool)
        except OUTAGE as error:
            verdict = classify(error)
            if isinstance(verdict, Permanent):
                raise verdict from error
            log.warning("can't read the rules yet: %s", verdict)
            await asyncio.sleep(PAUSE)
        else:
            break
    await lanes.set_rules(
        [
            LiveRule(one.tenant_id, one.rule, one.version, partial(matching, one.rule.matchers))
            for one in found
        ]
    )


async def _partitions(kafka: str, topic: str) -> int:
    """How many partitions the topic has; waits for Kafka and for the topic."""
    while True:
        try:
            return await partitions_of(kafka, topic)
        except Temporary as missing:
            log.warning("waiting: %s", missing)
            await asyncio.sleep(PAUSE)


def _now() -> int:
    return time.time_ns() // 1000
