"""`headrace gateway`: takes metrics over HTTP until it is told to stop."""

import logging
from typing import Annotated

import typer
import uvloop
from prometheus_client import CollectorRegistry

from deploy.cli.context import resolve, topics
from deploy.http import listen, serve
from deploy.keys import find_key
from producers.gateway import Budget, KafkaPublisher, Limits, create_gateway
from producers.steady import SteadyProducer
from schemas.errors import HeadraceError, Temporary
from schemas.settings import Settings
from schemas.window import Window
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring

PORT = 21080
RECORDS_END = 2.0
"""Seconds for records whose requests have ended, behind the six that requests have to end."""

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
    endpoints = resolve(settings, "kafka", "database")
    samples = topics(settings).samples
    listener = listen(settings.api_host, port)
    limits = Limits()
    budget = Budget(limits.held)
    registry = CollectorRegistry()
    producer = SteadyProducer(endpoints.kafka, [samples], client_id="headrace-gateway")
    pool = await connect_pool(endpoints.database, role="headrace_reader", application="gateway")

    async def keys_answer() -> None:
        try:
            await find_key(pool, "")
        except HeadraceError as error:
            raise Temporary(str(error)) from error

    app = create_gateway(
        DatabaseKeyring(pool),
        KafkaPublisher(producer, samples, limits, budget),
        window=Window(settings.raw_retention, settings.clock_skew),
        limits=limits,
        registry=registry,
        budget=budget,
        ready=keys_answer,
    )
    producer.start()
    try:
        await serve(app, listener, "gateway", registry, keys_answer)
    finally:
        pool.terminate()
        try:
            await producer.close(timeout=RECORDS_END)
        except Temporary as error:
            # Not a failure: whoever sent what is left was told 503, never 202.
            _log.warning("%s", error)
