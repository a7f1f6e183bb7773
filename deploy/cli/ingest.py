"""`headrace ingest`: runs the ingest process until it is told to stop."""

import asyncio
import contextlib
import logging
from typing import Annotated

import typer
import uvloop
from prometheus_client import CollectorRegistry

from deploy.cli.context import resolve, topics
from deploy.ingest import Ingest, IngestConfig, ingesting
from deploy.probes import serve_probes
from deploy.signals import until_stopped
from deploy.watched_rules import read_rules
from schemas.settings import Settings
from schemas.window import Window
from sinks.series import Limits

PORT = 21091


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("ingest")(run)


def run(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Of /healthz, /readyz and /metrics. [{PORT}]"),
    ] = None,
) -> None:
    """Store samples: from Kafka to the database, exactly once.

    Run as many as there are partitions; each goes on where the database's offsets stand. Waits for a
    database that is away, for ever, and loses nothing meanwhile.

        headrace ingest
        curl localhost:21091/readyz
    """
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Each of their services says when it starts and stops: fifty lines that tell an operator nothing.
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        uvloop.run(_run(settings, PORT + settings.port_offset if port is None else port))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the first to fail; the others were cancelled for it


class _Process:
    """The process from its first moment on: alive while it waits for its servers, ready when it works."""

    def __init__(self) -> None:
        self._ingest: Ingest | None = None
        self._stop = asyncio.Event()

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        started = {"started": self._ingest is not None}
        return started if self._ingest is None else started | await self._ingest.ready()

    async def work(self, config: IngestConfig, registry: CollectorRegistry) -> None:
        """Ingest until told to stop."""
        async with ingesting(config, registry, read_rules) as self._ingest:
            await self._stop.wait()

    async def run(self, config: IngestConfig, registry: CollectorRegistry) -> None:
        """Ingest until a signal or a failure, and end in time in any phase."""
        working = asyncio.create_task(self.work(config, registry))
        signalled = asyncio.create_task(until_stopped())
        await asyncio.wait({working, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        self._stop.set()
        if self._ingest is None:
            working.cancel()  # nothing in hand yet
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def _run(settings: Settings, port: int) -> None:
    endpoints = resolve(settings, "kafka", "database")
    config = IngestConfig(
        kafka=endpoints.kafka,
        database=endpoints.database,
        topics=topics(settings),
        group=settings.consumer_group,
        window=Window(settings.raw_retention, settings.clock_skew),
        limits=Limits(settings.max_series_per_tenant, settings.max_label_values),
    )
    registry, process = CollectorRegistry(), _Process()
    # The port first: a probe must find us alive while we wait, and a taken port is told at once.
    async with serve_probes(settings.api_host, port, registry, process.ready):
        await process.run(config, registry)
