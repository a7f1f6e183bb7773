"""`headrace ingest`: runs the ingest process until it is told to stop."""

from typing import Annotated

import typer

from deploy.cli.context import resolve, topics
from deploy.consuming import run_consumer
from deploy.ingest import IngestConfig, ingesting
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
    endpoints = resolve(settings, "kafka", "database")
    config = IngestConfig(
        kafka=endpoints.kafka,
        database=endpoints.database,
        topics=topics(settings),
        group=settings.consumer_group,
        window=Window(settings.raw_retention, settings.clock_skew),
        limits=Limits(settings.max_series_per_tenant, settings.max_label_values),
    )
    run_consumer(
        settings.api_host,
        PORT + settings.port_offset if port is None else port,
        lambda registry: ingesting(config, registry, read_rules),
    )
