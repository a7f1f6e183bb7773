"""Serves an application over HTTP until the process is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from schemas.errors import Permanent

_STOP_WITHIN = 5
"""Seconds that requests in flight get after SIGTERM."""

_log = logging.getLogger(__name__)


async def serve(app: FastAPI, host: str, port: int) -> None:
    """Listen until SIGTERM or Ctrl-C, and answer what is in flight. Raises Permanent."""
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise Permanent(
            f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}. "
            "Stop what uses the port, or take another: --port"
        ) from error
    with listener:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=_STOP_WITHIN
        )
        _log.info("Listening on http://%s:%s (documentation: /docs)", *listener.getsockname()[:2])
        await _Server(config).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends with exit code 0 when told to: uvicorn's own way is to die of the signal in the end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
