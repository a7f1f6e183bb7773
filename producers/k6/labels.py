"""Turns k6's tags into labels that ingest accepts: the same bytes where possible, adapted where needed.

Ingest would dead-letter a sample for a tag such as `my-tag` or a URL of two kilobytes. Here the tag is
changed instead, so that the point counts: other characters of a key become `_`, long text is cut,
tags beyond the 64th are left out. URLs are folded to endpoints (`urls`).
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from producers.k6.urls import Urls
from schemas.envelopes import UNREADABLE, decode_labels
from schemas.errors import Invalid
from schemas.samples import MAX_LABEL_KEY_BYTES, MAX_LABELS, MAX_TEXT_BYTES, check_labels

_FOREIGN = re.compile(r"[^a-zA-Z0-9_.]")
_CACHED = 20_000
"""Distinct tag sets remembered; a test with random URLs has no end of them."""


class Labels:
    """Looks tag sets up by their bytes; each distinct one is checked once."""

    def __init__(self, urls: Urls) -> None:
        self._urls = urls
        self._known: dict[bytes, msgspec.Raw] = {}
        self.adapted = 0
        """Tag sets that had to be changed, counted again if the cache forgot them."""

    def name(self, urls: Iterable[str]) -> None:
        """Leave these URLs as they are from now on."""
        if self._urls.name(urls):
            self._known.clear()

    def of(self, tags: bytes) -> msgspec.Raw:
        """The labels for the raw JSON of a tag object."""
        known = self._known.get(tags)
        return self._check(tags) if known is None else known

    def _check(self, tags: bytes) -> msgspec.Raw:
        labels = tags
        try:
            decoded = decode_labels(tags)
            folded = self._urls.fold(decoded)
            check_labels(folded)
        except (*UNREADABLE, Invalid):
            labels = adapted(tags, self._urls)
            self.adapted += 1
        else:
            if folded is not decoded:
                labels = msgspec.json.encode(folded)
        if len(self._known) >= _CACHED:
            self._known.clear()
        return self._known.setdefault(tags, msgspec.Raw(labels))


def adapted(tags: bytes, urls: Urls) -> bytes:
    """Labels as near to these tags as the rules of `schemas.samples` allow."""
    try:
        parsed = json.loads(tags.decode(errors="replace"))
    except ValueError:
        parsed = None
    texts = {key: _text(v) for key, v in parsed.items()} if isinstance(parsed, dict) else {}
    labels: dict[str, str] = {}
    for key, text in list(urls.fold(texts).items())[:MAX_LABELS]:
        labels[_key(key, labels)] = _cut(text)
    return msgspec.json.encode(labels)


def _key(key: str, taken: dict[str, str]) -> str:
    name = _FOREIGN.sub("_", key)[: MAX_LABEL_KEY_BYTES - 4]
    if not name or not (name[0].isalpha() or name[0] == "_"):
        name = "_" + name
    unique, n = name, 2
    while unique in taken:
        unique, n = f"{name}_{n}", n + 1
    return unique


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    # Lone surrogates are no text, and PostgreSQL stores no U+0000.
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _cut(text: str) -> str:
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
