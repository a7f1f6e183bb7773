"""Keeps two editors from overwriting each other: a change says which version it is of (RFC 9110, 13.1.1)."""

import re
from typing import Annotated

from fastapi import Header, HTTPException

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag of the version that is to be changed, as GET gave it; `*` for any.",
        examples=['"3-64aa3e1c5d8b0"'],
    ),
]

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
