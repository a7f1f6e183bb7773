"""Opaque cursors: where a page ended, bound to the request that it was a page of."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from query.problems import bad_parameter

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a position."""

_DIGEST = 8
_T = TypeVar("_T", bound=msgspec.Struct)


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a page of names, or of what goes by them, ended."""

    name: str


def after(cursor: str | None, position: type[_T], *request: object) -> _T | None:
    """Where the page before ended; None when the first is asked for. Raises what `decode` raises."""
    return None if cursor is None else decode(cursor, position, *request)


def following(position: msgspec.Struct | None, *request: object) -> str | None:
    """The cursor of the page that follows; None after the last."""
    return None if position is None else encode(position, *request)


def encode(position: msgspec.Struct, *request: object) -> str:
    """A cursor for the page that follows `position` under the same parameters."""
    body = msgspec.json.encode(position)
    return urlsafe_b64encode(_digest(body, request) + body).decode().rstrip("=")


def decode(text: str, position: type[_T], *request: object) -> _T:
    """The position in a cursor.

    Raises a validation error when it was not made for these parameters, or not by us. That is no
    signature: a forged position only moves within what the tenant may see.
    """
    refused = bad_parameter(
        "cursor", "is not one of this request: start again without it, or with the same parameters"
    )
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise refused from None
    body = raw[_DIGEST:]
    if raw[:_DIGEST] != _digest(body, request):
        raise refused
    try:
        return msgspec.json.decode(body, type=position)
    except msgspec.MsgspecError:
        raise refused from None


def _digest(body: bytes, request: tuple[object, ...]) -> bytes:
    return hashlib.blake2b(body + repr(request).encode(), digest_size=_DIGEST).digest()
