"""`headrace api`: runs the query API until it is told to stop."""

import logging
import socket
from typing import Annotated

import typer
import uvloop
from prometheus_client import CollectorRegistry
from temporalio.client import Client

from deploy.cli.context import resolve
from deploy.http import listen, serve
from query.api import create_api
from query.database import TenantDatabase
from query.parts import Limits
from query.routing import Retention
from query.settled import MOST_BYTES, Memory
from query.shares import Shares
from schemas.errors import Permanent
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring
from workflows.remediation.approvals import Approvals

PORT = 21090
_CONNECTIONS = 12
_SHARE = 8
"""Connections of one tenant, however much it asks: the others' requests find some."""
_EDITORS = 2
"""Definitions, keys and deletions are few."""
_KEYS = 2
"""Look-ups of keys must not wait behind queries."""


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
    memory_mb: Annotated[
        int,
        typer.Option(
            min=0,
            envvar="HEADRACE_MEMORY_MB",
            help="Megabytes of figures to remember, of hours that are past change.",
        ),
    ] = MOST_BYTES >> 20,
) -> None:
    """Answer questions about metrics and runs, and manage definitions and keys, over HTTP.

    Needs an API key of scope read, for changes of scope admin. Starts while the database is away, and is
    ready when it is back.

        headrace api
        curl -H "X-API-Key: $KEY" localhost:21090/api/v1/metrics/names
        open http://localhost:21090/docs
    """
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    database = resolve(settings, "database").database
    listener = listen(settings.api_host, PORT + settings.port_offset if port is None else port)
    uvloop.run(_run(settings, database, listener, statement_timeout, Memory(memory_mb << 20)))


async def _run(
    settings: Settings,
    dsn: str,
    listener: socket.socket,
    statement_timeout: float,
    memory: Memory,
) -> None:
    pool = await connect_pool(
        dsn, role="headrace_reader", application="api", max_size=_CONNECTIONS, tidy=False
    )
    keys = await connect_pool(dsn, role="headrace_reader", application="api", max_size=_KEYS)
    editors = await connect_pool(dsn, role="headrace_editor", application="api", max_size=_EDITORS)
    try:
        registry = CollectorRegistry()
        database = TenantDatabase(pool, statement_timeout, editors, shares=Shares(_SHARE))
        api = create_api(
            DatabaseKeyring(keys),
            database,
            registry=registry,
            limits=Limits(
                settings.max_series_per_tenant, settings.max_label_values, settings.long_range
            ),
            retention=Retention.of(settings.lifecycle),
            approvals=_approvals(settings),
            memory=memory,
        )
        await serve(api, listener, "query API", registry, database.check)
    finally:
        # Whoever waits has had its time, and a database that hangs must not hold us up.
        for one in (pool, keys, editors):
            one.terminate()


def _approvals(settings: Settings) -> Approvals | None:
    """The way to Temporal; None where there is none, for the API answers everything else without it."""
    try:
        at = resolve(settings, "temporal").temporal
    except Permanent:
        return None

    async def connect() -> Client:
        return await Client.connect(at, namespace=settings.temporal_namespace)

    return Approvals(connect)
