"""`headrace api`: runs the query API until it is told to stop."""

import logging
import socket
from typing import Annotated

import typer
import uvloop
from prometheus_client import CollectorRegistry

from deploy.cli.context import resolve
from deploy.http import listen, serve
from query.api import create_api
from query.database import TenantDatabase
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring

PORT = 21090
_CONNECTIONS = 8


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("api")(run)


def run(
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Where to listen; 0: any. [{PORT}]")
    ] = None,
    statement_timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            envvar="HEADRACE_STATEMENT_TIMEOUT",
            help="Seconds that a query may take before it is answered with 504.",
        ),
    ] = 10.0,
) -> None:
    """Answer questions about metrics and runs, over HTTP.

    Needs an API key of scope read. Starts while the database is away, and is ready when it is back.

        headrace api
        curl -H "X-API-Key: $KEY" localhost:21090/api/v1/metrics/names
        open http://localhost:21090/docs
    """
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    database = resolve(settings, "database").database
    listener = listen(settings.api_host, PORT + settings.port_offset if port is None else port)
    uvloop.run(_run(database, listener, statement_timeout))


async def _run(dsn: str, listener: socket.socket, statement_timeout: float) -> None:
    pool = await connect_pool(dsn, role="headrace_reader", application="api", max_size=_CONNECTIONS)
    try:
        registry = CollectorRegistry()
        database = TenantDatabase(pool, statement_timeout)
        api = create_api(DatabaseKeyring(pool), database, registry=registry)
        await serve(api, listener, "query API", registry, database.check)
    finally:
        pool.terminate()  # it only reads, and a database that hangs must not hold us up
