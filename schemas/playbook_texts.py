"""The texts of a playbook: templates, with and without secrets, URLs, headers and bodies."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue

from schemas import templates
from schemas.definitions import Storable

_AUTHORITY = re.compile(r"https?://[^/?#{}@\\\s]+(?:[/?].*)?", re.DOTALL)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_OURS = {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}
_TELLING = re.compile(r"auth|token|secret|password|cookie|api-?key", re.IGNORECASE)


def _text(text: str) -> str:
    if any(place.secret for place in templates.places(text)):
        raise ValueError("must hold no secret: it is shown and stored; headers and bodies may")
    return text


def _with_secrets(text: str) -> str:
    templates.cut(text)
    return text


def _url(text: str) -> str:
    if not _AUTHORITY.fullmatch(text):
        # Whoever sends samples chooses labels: they must not choose the server that we ask.
        raise ValueError(
            "must begin with http:// or https:// and a host, without {{ }} and without @"
        )
    return _text(text)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"{name[:64]!r} is no header that a playbook may set")
        if _TELLING.search(name) and not any(p.secret for p in templates.places(value)):
            raise ValueError(f"{name} must hold a reference to a secret, as secret://env/NAME")
    return headers


def _body(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        templates.cut(value)
    elif isinstance(value, list):
        for one in value:
            _body(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if "{{" in key:
                raise ValueError(f"{key[:80]!r}: only values are filled in, not names")
            _body(one)
    return value


Text = Annotated[Storable, Field(max_length=8192), AfterValidator(_text)]
"""A template without secrets."""
SecretText = Annotated[Storable, Field(max_length=8192), AfterValidator(_with_secrets)]
"""A template that may hold secrets."""
Url = Annotated[Storable, Field(max_length=4096), AfterValidator(_url)]
Headers = Annotated[dict[str, SecretText], Field(max_length=20), AfterValidator(_headers)]
Body = Annotated[JsonValue, AfterValidator(_body)]
"""A text, or data with texts in it, which may hold secrets."""
