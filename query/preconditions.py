"""Keeps two editors from overwriting each other: a change says which version it is of (RFC 9110, 13.1.1).

An answer names the version it shows in its ETag, and a change names it in If-Match.
"""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Header, HTTPException, Request, Response

from query import freshness
from query.parameters import EARLIEST

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag of the version that is to be changed, as GET gave it; `*` for any.",
        examples=['"3-64aa3e1c5d8b0"'],
    ),
]

_ETAG = {"ETag": {"description": "Names this version.", "schema": {"type": "string"}}}
_LOCATION = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}

TAGGED: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}}
"""How routes describe an answer with an ETag; SHOWN: one to a GET; MADE: one to a POST."""
SHOWN = {**TAGGED, 304: {"description": "Not Modified"}}
MADE: dict[int | str, dict[str, Any]] = {201: {"headers": {**_ETAG, **_LOCATION}}}

_TAGS = re.compile(r'((?:W/)?"[^"]*")')


def require(if_match: str | None) -> str:
    """The header. Raises 428 when it is missing."""
    if if_match is None:
        raise HTTPException(428, "Send If-Match with the ETag that GET gave, or If-Match: *")
    return if_match


def check(if_match: str, etag: str) -> None:
    """Raise 412 unless the header names this version. A weak tag names none."""
    if if_match.strip() != "*" and etag not in _TAGS.findall(if_match):
        raise HTTPException(412, "It was changed since: GET it again, and decide again.")


def tag(version: int, created_at: datetime) -> str:
    """The ETag of a version; what was deleted and made again under its name has others."""
    born = (created_at - EARLIEST) // timedelta(microseconds=1)
    return f'"{version}-{born:x}"'


def show(etag: str, request: Request, response: Response) -> None:
    """Name the version that is shown. Raises NotModified when the client has it."""
    if freshness.matches(request.headers.getlist("if-none-match"), etag):
        raise freshness.NotModified(etag)
    response.headers["ETag"] = etag


def made(etag: str, location: str, response: Response) -> None:
    """Name the version that was made, and where it is."""
    response.headers["Location"] = location
    response.headers["ETag"] = etag
