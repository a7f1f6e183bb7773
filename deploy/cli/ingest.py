"""`headrace ingest`: runs the ingest process until it is told to stop."""

import logging
from typing import Annotated

import typer
import uvloop
from prometheus_client import CollectorRegistry

from deploy.cli.context import resolve, topics
from deploy.ingest import IngestConfig, ingesting
from deploy.probes import serve_probes
from deploy.signals import until_stopped
from schemas.settings import Settings
from schemas.window import Window

PORT = 21091


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("ingest")(run)


def run(
    *,
    port: Annotated[
        int | None, typer.Option(help=f"Of /healthz, /readyz and /metrics. [{PORT}]")
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
        uvloop.run(_run(settings, port or PORT + settings.port_offset))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the first to fail; the others were cancelled for it


async def _run(settings: Settings, port: int) -> None:
    endpoints = resolve(settings)
    config = IngestConfig(
        kafka=endpoints.kafka,
        database=endpoints.database,
        topics=topics(settings),
        group=settings.consumer_group,
        window=Window(settings.raw_retention, settings.clock_skew),
    )
    registry = CollectorRegistry()
    async with (
        ingesting(config, registry) as ingest,
        serve_probes(settings.api_host, port, registry, ingest.ready),
    ):
        await until_stopped()
