"""Decides whether a client's copy of an answer is still good, before the data is read (RFC 9110, 13).

A route of samples, in its transaction, as soon as it knows the range and the level it will read:

    async with parts.database.reading(tenant) as reading:
        subject = await look_up(reading, name, label, match, asked)
        etag = freshness.etag(
            subject.state, request, tenant, asked=asked, level=level, now=parts.clock()
        )
        ...                                    # not reached when the client has this version
    return accepted.respond(..., etag=etag)

The tag is a hash of the answer: it tells a client nothing but that. What the answer was made from, the
state of the data, is written by all tenants; a tag of it would tell each when another sends. So a
process remembers which tag came of which state. While the state is as it was, 304 costs no data query;
when it is not, or the process is another, the answer is made, and 304 still spares sending it.

The state is read before the rows: a change in between gives new rows an old state, which costs one
query more; the other way round the client would keep old rows.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from fastapi import FastAPI, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query.parameters import TimeRange

Level = Literal["raw", "1m", "5m", "1h", "sketch_1h"]

SETTLING: dict[Level, timedelta] = {
    "raw": timedelta(0),
    "1m": timedelta(minutes=2),
    "5m": timedelta(minutes=10),
    "1h": timedelta(hours=2),
    "sketch_1h": timedelta(hours=2),
}
"""How long after the newest change below it a level may still change: twice its refresh interval."""

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_MINUTE = 60
_REMEMBERED = 10_000
"""Answers whose tags a process remembers: some 2 MB."""


class NotModified(Exception):
    """The client has this version of the answer: 304."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class Versions:
    """Tags of answers by the state that they were made from; the oldest are forgotten."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._tags: OrderedDict[bytes, str] = OrderedDict()

    def find(self, state: bytes) -> str | None:
        """The tag of the answer that was made from this state."""
        return self._tags.get(state)

    def keep(self, state: bytes, tag: str) -> None:
        """Remember a tag."""
        self._tags[state] = tag
        self._tags.move_to_end(state)
        if len(self._tags) > self._most:
            self._tags.popitem(last=False)


@dataclass(frozen=True)
class ETag:
    """The tag of an answer that is being made."""

    tenant: UUID
    state: bytes
    sent: Sequence[str]
    """If-None-Match, as the client sent it."""
    versions: Versions

    def of(self, body: bytes) -> str:
        """The weak tag of this body. Raises NotModified when the client has it."""
        digest = hashlib.blake2b(body, digest_size=16, key=self.tenant.bytes).hexdigest()
        tag = f'W/"{digest}"'
        self.versions.keep(self.state, tag)
        if matches(self.sent, tag):
            raise NotModified(tag)
        return tag


@dataclass(frozen=True)
class State:
    """What changes whenever an answer about a metric may: of its data, its series, its definition."""

    taken: int
    waiting: int
    changed_at: datetime | None
    first_seen: datetime | None
    """A metric deleted and sent again has another."""
    series: int | None
    created_at: datetime | None
    version: int | None


def etag(
    state: State,
    request: Request,
    tenant: UUID,
    *,
    asked: TimeRange,
    level: Level,
    now: datetime,
) -> ETag:
    """The ETag, to be, of this request's answer, read from `level` over `asked`.

    `asked` is the range that is really read, with the defaults filled in.

    Raises:
        NotModified: nothing changed since the answer that the client has; `install` answers 304.
    """
    settling = state.changed_at is not None and now - state.changed_at < SETTLING[level]
    minute = int(now.timestamp()) // _MINUTE if settling else None
    url = (request.url.path, sorted(request.query_params.multi_items()))
    form = request.headers.getlist("accept")
    text = repr((tenant, url, form, asked.start, asked.end, level, state, minute))
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    sent = request.headers.getlist("if-none-match")
    versions: Versions = request.app.state.versions
    known = versions.find(digest)
    if known is not None and matches(sent, known):
        raise NotModified(known)
    return ETag(tenant, digest, sent, versions)


def matches(if_none_match: Iterable[str], tag: str) -> bool:
    """Whether a header names the tag, weak or not, in a list or as `*` (RFC 9110, 13.1.2)."""
    opaque = tag.removeprefix("W/")
    return any(value.strip() == "*" or opaque in _TAG.findall(value) for value in if_none_match)


def install(app: FastAPI) -> None:
    """Answer NotModified with 304, and say of every answer who may keep it."""
    app.state.versions = Versions()
    app.add_middleware(Private)

    @app.exception_handler(NotModified)
    async def not_modified(_: Request, found: NotModified) -> Response:
        return Response(status_code=304, headers={"ETag": found.etag})


class Private:
    """ASGI middleware: an answer is its caller's alone, and is asked for again before it is reused.

    The tenant is in the key, so a shared cache must not hand one caller's answer to another.
    """

    _VARY = "X-API-Key, Authorization, Accept, Accept-Encoding"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and mark its answer."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Vary"] = self._VARY
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        await self._app(scope, receive, marked)
