"""`headrace gateway`: takes metrics over HTTP until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from typing import Annotated

import asyncpg
import typer
import uvicorn
import uvloop
from fastapi import FastAPI

from deploy.cli.context import resolve, topics
from producers.gateway import Budget, KafkaPublisher, Limits, create_gateway
from producers.steady import SteadyProducer
from schemas.errors import Permanent, Temporary
from schemas.settings import Settings
from schemas.window import Window
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring

PORT = 21080
REQUESTS_END = 6
"""Seconds that open requests have after SIGTERM: a little more than Kafka has to acknowledge."""
RECORDS_END = 2.0
"""Seconds for records whose requests have ended; together less than the ten that a process has."""

_log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("gateway")(run)


def run(
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Where to listen. [{PORT}]")
    ] = None,
) -> None:
    """Take metrics over HTTP and put them on Kafka; 202 means that Kafka has them.

    Starts while the broker or the database are away, answers 503 until they are there, and finds them
    by itself.

        headrace gateway
        curl localhost:21080/readyz
        curl localhost:21080/api/v1/metrics/ingest -H "X-API-Key: $KEY" --json '{"name": "t", "value": 1}'
    """
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # It logs three lines each attempt while the broker is away; producers.steady says it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    uvloop.run(_run(settings, PORT + settings.port_offset if port is None else port))


async def _run(settings: Settings, port: int) -> None:
    endpoints = resolve(settings)
    samples = topics(settings).samples
    listener = _listen(settings.api_host, port)
    limits = Limits()
    budget = Budget(limits.held)
    producer = SteadyProducer(endpoints.kafka, [samples], client_id="headrace-gateway")
    pool = await connect_pool(
        endpoints.database, role="headrace_reader", application="gateway", min_size=0
    )
    app = create_gateway(
        DatabaseKeyring(pool),
        KafkaPublisher(producer, samples, limits, budget),
        window=Window(settings.raw_retention, settings.clock_skew),
        limits=limits,
        budget=budget,
        ready=lambda: _database_answers(pool),
    )
    producer.start()
    try:
        await _serve(app, listener)
    finally:
        pool.terminate()
        try:
            await producer.close(timeout=RECORDS_END)
        except Temporary as error:
            # Not a failure: whoever sent what is left was told 503, never 202.
            _log.warning("%s", error)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise Permanent(
            f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}. Stop what uses the port, or give "
            "another with --port or HEADRACE_PORT_OFFSET."
        ) from error


async def _serve(app: FastAPI, listener: socket.socket) -> None:
    # uvicorn handles the signals and, having ended, raises them again for whoever had them before.
    # Without these handlers that would be the system's, which kills us before the last flush.
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, lambda: None)
    host, port = listener.getsockname()[:2]
    _log.info("gateway listens on http://%s:%d", host, port)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=REQUESTS_END,
    )
    await uvicorn.Server(config).serve(sockets=[listener])
    _log.info("told to stop; all requests are answered")


async def _database_answers(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    try:
        await pool.fetchval("SELECT 1", timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Temporary(f"The database of API keys is away: {error or 'timeout'}") from error
