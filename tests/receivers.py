"""Receivers of notifications: real HTTP servers that keep what they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Hook:
    """An HTTP server that takes notifications, or answers as it is told to."""

    url: str = ""
    status: int = 200
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    refused: int = 0

    @property
    def bodies(self) -> list[Any]:
        """What it took."""
        return [json.loads(body) for _, body in self.requests]

    @property
    def alerts(self) -> list[tuple[str, str, str]]:
        """Rule, host and state of each alert of webhooks that it took, in order."""
        return [
            (one["labels"]["alertname"], one["labels"].get("host", ""), one["status"])
            for body in self.bodies
            for one in body["alerts"]
        ]

    async def until(self, condition: Callable[["Hook"], bool]) -> None:
        """Wait until it was told what makes the condition true."""
        try:
            async with asyncio.timeout(60):
                while not condition(self):  # noqa: ASYNC110 - another process has no event
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"told only {self.bodies}") from None


@asynccontextmanager
async def hook(port: int = 0) -> AsyncIterator[Hook]:
    """A server on this machine."""
    found = Hook()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if found.status != 200:
            found.refused += 1
            return web.Response(status=found.status, text="not now")
        found.requests.append((dict(request.headers), body))
        return web.Response(text="ok")

    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        await runner.cleanup()
