"""Stops answering a client that has gone: its query in the database is cancelled with it."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_CLOSED_REQUEST = 499
"""The status that is counted; nobody is there to read it. nginx has it so."""


class Departures:
    """ASGI middleware that cancels the answer to a GET whose client closes the connection.

    Only reads: a change that has begun is short and better finished. Bodies of GETs, which no route
    reads, are dropped as they come, so that a departure behind one is heard too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, until it is answered or its client has gone."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        leaving = asyncio.create_task(_left(receive))
        answering = asyncio.create_task(self._answer(scope, leaving, send))
        try:
            await asyncio.wait({leaving, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return
            await _cancelled(answering)
            await send(
                {"type": "http.response.start", "status": CLIENT_CLOSED_REQUEST, "headers": []}
            )
            await send({"type": "http.response.body"})
        finally:
            await _cancelled(leaving)
            await _cancelled(answering)
            if not answering.cancelled():
                answering.result()  # raises what it raised

    async def _answer(self, scope: Scope, leaving: "asyncio.Task[None]", send: Send) -> None:
        told = False

        async def heard() -> Message:
            nonlocal told
            if not told:
                told = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await asyncio.shield(leaving)
            return {"type": "http.disconnect"}

        await self._app(scope, heard, send)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
