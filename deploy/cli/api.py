"""`headrace api`: runs the query API until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
import uvicorn
import uvloop

from deploy.cli.context import resolve
from query.api import create_api
from query.database import TenantDatabase
from schemas.errors import Permanent
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring

PORT = 21090
_CONNECTIONS = 8
_STOP_WITHIN = 6
"""Seconds that requests in flight get to finish after SIGTERM."""

_log = logging.getLogger(__name__)


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
    address = (settings.api_host, PORT + settings.port_offset if port is None else port)
    uvloop.run(_serve(resolve(settings).database, address, statement_timeout))


async def _serve(dsn: str, address: tuple[str, int], statement_timeout: float) -> None:
    with _listen(*address) as listener:
        pool = await connect_pool(
            dsn, role="headrace_reader", application="api", min_size=0, max_size=_CONNECTIONS
        )
        try:
            api = create_api(DatabaseKeyring(pool), TenantDatabase(pool, statement_timeout))
            config = uvicorn.Config(
                api,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_STOP_WITHIN,
            )
            host, port = listener.getsockname()[:2]
            _log.info("The query API listens on http://%s:%s (documentation: /docs)", host, port)
            await _Server(config).serve(sockets=[listener])
        finally:
            pool.terminate()  # it only reads, and a database that hangs must not hold us up


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise Permanent(
            f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}. "
            "Stop what uses the port, or take another: --port"
        ) from error


class _Server(uvicorn.Server):
    """Ends with exit code 0 when told to: uvicorn's own way is to die of the signal in the end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
        for number in signals:
            loop.remove_signal_handler(number)
