"""`headrace worker`: runs workflows, and takes run events and alerts from Kafka, until it is told to stop."""

import asyncio
import logging
from typing import Annotated

import typer
import uvloop

from deploy.cli.context import resolve
from deploy.probes import serve_probes
from deploy.signals import until_stopped
from deploy.worker import WorkerProcess
from schemas.settings import Settings

PORT = 21094


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("worker")(run)


def run(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Of /healthz, /readyz and /metrics. [{PORT}]"),
    ] = None,
) -> None:
    """Run workflows: the steps after a load test, and the maintenance of what is stored.

    After a test: aggregate it, judge its thresholds, delete its raw points. Every minute: refresh the
    rollups, and close runs that nothing was heard of for HEADRACE_RUN_GRACE. Every hour: drop and compact
    what is old enough (headrace storage). Alerts: record what becomes of them, tell who is to be told (headrace
    notifications), and carry out their playbooks (headrace remediation).

    Run one or several; each step is worked on once. Waits for Kafka, the database and Temporal where
    they are away, and goes on where a killed worker left off.

        headrace worker
        curl localhost:21094/readyz
    """
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvloop.run(_run(settings, PORT + settings.port_offset if port is None else port))


async def _run(settings: Settings, port: int) -> None:
    process = WorkerProcess(settings, resolve(settings, "kafka", "database", "temporal"))
    async with serve_probes(settings.api_host, port, process.registry, process.ready):
        stopped = asyncio.create_task(until_stopped())
        working = asyncio.create_task(process.run())
        await asyncio.wait({stopped, working}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        working.cancel()
        await asyncio.wait({working})
        if not working.cancelled():
            working.result()
