"""`headrace alerts`: runs the alerts process until it is told to stop."""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Annotated

import typer
import uvloop
from prometheus_client import CollectorRegistry

from deploy.alerts import Alerts, AlertsConfig, alerting
from deploy.cli.context import resolve, topics
from deploy.probes import serve_probes
from deploy.signals import until_stopped
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
        self._alerts: Alerts | None = None
        self._stop = asyncio.Event()

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        started = {"started": self._alerts is not None}
        return started if self._alerts is None else started | await self._alerts.ready()

    async def work(self, config: AlertsConfig, registry: CollectorRegistry) -> None:
        """Evaluate until told to stop."""
        async with alerting(config, registry) as self._alerts:
            await self._stop.wait()

    async def run(self, config: AlertsConfig, registry: CollectorRegistry) -> None:
        """Evaluate until a signal or a failure, and end in time in any phase."""
        working = asyncio.create_task(self.work(config, registry))
        signalled = asyncio.create_task(until_stopped())
        await asyncio.wait({working, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        self._stop.set()
        if self._alerts is None:
            working.cancel()  # nothing is ours yet
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def _run(settings: Settings, port: int) -> None:
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
    registry, process = CollectorRegistry(), _Process()
    # The port first: a probe must find us alive while we wait, and a taken port is told at once.
    async with serve_probes(settings.api_host, port, registry, process.ready):
        await process.run(config, registry)


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
