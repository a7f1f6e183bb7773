"""Refuses requests that are larger than any honest one, before they are taken apart."""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query.problems import respond

MOST_TARGET = 32_768
"""Bytes of path and query: room for a few hundred labels."""
MOST = 65_536
"""Bytes of the headers, and of the body: a definition takes some hundreds."""

_TOO_LARGE = f"The body has more than {MOST} bytes: send less."


class Sizes:
    """ASGI middleware that answers 413, 414 and 431."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it is of a size to be read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MOST_TARGET:
            refusal = respond(
                414, f"The URL has more than {MOST_TARGET} bytes: ask for less at once."
            )
        elif sum(len(name) + len(value) for name, value in headers) > MOST:
            refusal = respond(431, f"The headers have more than {MOST} bytes: send fewer.")
        elif any(name == b"content-length" and _too_many(value) for name, value in headers):
            refusal = respond(413, _TOO_LARGE)
        else:
            await self._app(scope, _counted(receive), send)
            return
        await refusal(scope, receive, send)


def _too_many(content_length: bytes) -> bool:
    # The server has checked that it is a number; how long a one, is for us to see.
    return len(content_length) > len(str(MOST)) or int(content_length) > MOST


def _counted(receive: Receive) -> Receive:
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return counted
