"""`headrace alerts`: runs the alerts process until it is told to stop."""

from datetime import timedelta
from typing import Annotated

import typer

from deploy.alerts import AlertsConfig, alerting
from deploy.cli.context import resolve, topics
from deploy.consuming import run_consumer
from schemas.rules import GRID
from schemas.settings import Settings
from stream.core.lateness import Lateness

PORT = 21095


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("alerts")(run)


def run(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Of /healthz, /readyz and /metrics. [{PORT}]"),
    ] = None,
) -> None:
    """Evaluate alert rules as samples pass, and publish each change of an alert once.

    Run as many as there are partitions; each goes on where Kafka has the partition's state. Reads rules
    from the database, and goes on with those it has while that is away.

        headrace alerts
        curl localhost:21095/readyz
    """
    settings = Settings()
    endpoints = resolve(settings, "kafka", "database")
    config = AlertsConfig(
        kafka=endpoints.kafka,
        database=endpoints.database,
        topics=topics(settings),
        group=f"{settings.consumer_group}-alerts",
        lateness=Lateness(
            idle=_microseconds(settings.alerts_idle_after),
            allowance=_microseconds(settings.alerts_clock_allowance),
            allowed=settings.alerts_lateness // GRID,
        ),
        stale_after=settings.alerts_stale_after,
    )
    run_consumer(
        settings.api_host,
        PORT + settings.port_offset if port is None else port,
        lambda registry: alerting(config, registry),
    )


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
