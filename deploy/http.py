"""Serves an application over HTTP until the process is told to stop."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from deploy.allocator import keep_freed_memory
from deploy.http_metrics import Measured
from schemas.errors import HeadraceError, Permanent

STOP_WITHIN = 6
"""Seconds that open requests have after SIGTERM; a process has ten in all."""

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Take a port before anything else is set up. Raises Permanent when somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise Permanent(
            f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}. Stop what uses the "
            "port, or choose another with --port or HEADRACE_PORT_OFFSET."
        ) from error


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    name: str,
    registry: CollectorRegistry,
    check: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Answer until SIGTERM or Ctrl-C, then what is in flight.

    Requests are measured in `registry`: the one that the application shows at /metrics. What `check`
    finds wrong at the start is logged once; /readyz tells it from then on.
    """
    config = uvicorn.Config(
        Measured(app, registry),
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN,
    )
    host, port = listener.getsockname()[:2]
    _log.info("the %s listens on http://%s:%s (documentation: /docs)", name, host, port)
    checking = asyncio.create_task(_warn(check)) if check else None
    keep_freed_memory()
    # The application is there for good: to look through it for garbage, again and again, would stop all
    # requests for up to 50 ms.
    gc.collect()
    gc.freeze()
    # An answer is a thousand short-lived objects that are in no cycle.
    gc.set_threshold(50_000, 20, 50)
    with listener:
        await _Server(config).serve(sockets=[listener])
    if checking:
        checking.cancel()
    _log.info("told to stop; all requests are answered")


async def _warn(check: Callable[[], Awaitable[None]]) -> None:
    try:
        await check()
    except HeadraceError as error:
        _log.warning("requests get 503 until this is mended: %s", error)


class _Server(uvicorn.Server):
    """Ends with exit code 0 when told to: uvicorn's own way is to die of the signal in the end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        # They stay: a second signal must not kill the process in its last flush.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
