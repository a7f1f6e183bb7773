"""A series: tenant, name and labels; its canonical form and its fingerprint."""

import hashlib
from typing import NamedTuple
from uuid import UUID

import msgspec

from schemas.envelopes import UNREADABLE, decode_labels, readable
from schemas.errors import Invalid
from schemas.samples import check_labels, check_name

Key = tuple[str, bytes] | str
"""How a producer spells a series: name and raw label bytes in JSON, the canonical key in Arrow."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_key = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode


class Series(NamedTuple):
    """A series as the dictionary stores it. `labels` is JSON with sorted keys."""

    tenant_id: UUID
    name: str
    labels: str
    fingerprint: bytes


def canonical(tenant_id: UUID, name: str, labels: bytes) -> Series:
    """The series that a name and the raw text of a label object stand for.

    Raises Invalid when the name or a label breaks the rules of `schemas.samples`.
    """
    check_name(name)
    try:
        parsed = decode_labels(labels)
    except UNREADABLE as error:
        raise Invalid("bad_labels", f"labels of {name!r}: {readable(error)}") from error
    check_labels(parsed)
    text = _encode(parsed)
    digest = hashlib.blake2b(_encode(name) + text, digest_size=16).digest()
    return Series(tenant_id, name, text.decode(), digest)


def key_text(name: str, labels: dict[str, str]) -> str:
    """The canonical series key of Arrow envelopes: the JSON array `["name",{"label":"value"}]`."""
    return _encode([name, labels]).decode()


def parse_key(key: str) -> tuple[str, bytes]:
    """Name and raw labels of a canonical series key. Raises Invalid."""
    try:
        name, labels = _decode_key(key)
    except UNREADABLE as error:
        raise Invalid("bad_series_key", f"series key {key[:200]!r}: {readable(error)}") from error
    return name, bytes(labels)
