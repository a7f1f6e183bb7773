"""Runs a process around a Faust application: alive from its first moment, and ended in time in any phase."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import uvloop
from prometheus_client import CollectorRegistry

from deploy.allocator import keep_freed_memory
from deploy.probes import serve_probes
from deploy.signals import until_stopped

log = logging.getLogger(__name__)

LEAVE_WITHIN = 3.0
"""Seconds to leave the consumer group."""


class Consumer(Protocol):
    """What consumes while its block is open."""

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        ...


Start = Callable[[CollectorRegistry], AbstractAsyncContextManager[Consumer]]
"""Consumes inside the block, and raises what it fails of at the end of it."""


def run_consumer(host: str, port: int, start: Start) -> None:
    """Consume until a signal or a failure, which is raised, with probes and metrics on a port."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Each of their services says when it starts and stops: fifty lines that tell an operator nothing.
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    keep_freed_memory()
    try:
        uvloop.run(_serve(host, port, start))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the first to fail; the others were cancelled for it


async def _serve(host: str, port: int, start: Start) -> None:
    registry = CollectorRegistry()
    process = _Process(start(registry))
    # The port first: a probe must find us alive while we wait, and a taken port is told at once.
    async with serve_probes(host, port, registry, process.ready):
        await process.run()


class _Process:
    """The process from its first moment on: alive while it waits for its servers, ready when it works."""

    def __init__(self, consuming: AbstractAsyncContextManager[Consumer]) -> None:
        self._consuming = consuming
        self._consumer: Consumer | None = None
        self._stop = asyncio.Event()

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        started = {"started": self._consumer is not None}
        return started if self._consumer is None else started | await self._consumer.ready()

    async def run(self) -> None:
        """Consume until a signal or a failure, and end in time in any phase."""
        working = asyncio.create_task(self._work())
        signalled = asyncio.create_task(until_stopped())
        await asyncio.wait({working, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        self._stop.set()
        if self._consumer is None:
            working.cancel()  # nothing is in hand yet
        with contextlib.suppress(asyncio.CancelledError):
            await working

    async def _work(self) -> None:
        async with self._consuming as self._consumer:
            await self._stop.wait()


async def leave(app: Any) -> None:
    """Leave the group; without a broker that can't be done, and the group finds out by itself."""
    stopping = asyncio.ensure_future(app.stop())
    await asyncio.wait([stopping], timeout=LEAVE_WITHIN)
    if not stopping.done():
        log.warning("Kafka does not answer; left without saying goodbye")
        # Faust's consumer thread waits for the broker and heeds no cancellation. What is durable is in
        # the database, so there is nothing that a gentler end would save.
        logging.shutdown()
        os._exit(0)
    stopping.result()


async def crash_of(app: Any) -> None:
    """Wait until Faust crashes, and raise why."""
    await app.wait(app._crashed.wait())  # noqa: SLF001 # mode offers no public way to await a crash
    raise app.crash_reason or RuntimeError("Faust crashed without a reason")
