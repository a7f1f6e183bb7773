"""A process's own small HTTP server: /healthz (alive), /readyz (dependencies), /metrics (Prometheus)."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schemas.errors import Permanent

READY_TIMEOUT = 3.0
"""Seconds for the readiness callback: below the 5 s at which most orchestrators give a probe up."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def serve_probes(
    host: str,
    port: int,
    registry: CollectorRegistry,
    ready: Callable[[], Awaitable[dict[str, bool]]],
) -> AsyncIterator[int]:
    """Serve the three paths inside the `async with` block; yields the port (useful with port 0).

    /readyz calls `ready` (dependency name → usable) and answers 200 when all hold, else 503; a callback
    that raises or exceeds READY_TIMEOUT is not ready either. Raises Permanent when the port is taken.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                checks = await ready()
        except Exception:  # noqa: BLE001 - a probe must answer whatever breaks below it
            _log.exception("The readiness check failed")
            checks = {"readiness_check": False}
        good = all(checks.values())
        return web.json_response({"ready": good, "checks": checks}, status=200 if good else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]
    )
    # Orchestrators keep connections open; waiting for them would eat the time to stop in.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise Permanent(
                f"Can't listen on {host}:{port}: {os.strerror(error.errno or 0)}. Stop what uses the "
                "port, or choose another with --port or HEADRACE_PORT_OFFSET."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
