"""Compresses answers with gzip for clients that take it."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from query.accepting import takes_gzip

_LEVEL = 3
"""A third of the time of level 9, for answers a fifteenth larger."""


class Compressed(GZipMiddleware):
    """ASGI middleware; unlike its base it reads weights: `gzip;q=0` forbids."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and compress its answer."""
        if scope["type"] == "http":
            asked = ",".join(Headers(scope=scope).getlist("accept-encoding"))
            plain = MutableHeaders(raw=list(scope["headers"]))
            plain["Accept-Encoding"] = "gzip" if takes_gzip(asked) else "identity"
            scope["headers"] = plain.raw
        await super().__call__(scope, receive, send)
