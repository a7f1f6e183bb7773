"""Checks a series once and gives its labels the canonical form, however clients write them."""

import msgspec

from schemas.envelopes import UNREADABLE, decode_labels, readable
from schemas.errors import Invalid
from schemas.samples import check_labels, check_name

_encode = msgspec.json.Encoder(order="deterministic").encode

_CAPACITY = 50_000
_LARGEST_KEPT = 2048
"""Bytes of labels: larger ones are checked each time, so that the cache has a bound in bytes too."""


class RawSeriesCache:
    """Canonical labels by name and the raw text of a label object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], msgspec.Raw] = {}

    def labels(self, name: str, raw: msgspec.Raw) -> msgspec.Raw:
        """The labels with sorted keys and no spaces: ingest looks series up by these bytes.

        Raises Invalid when name or labels break the rules of `schemas.samples`.
        """
        text = bytes(raw)
        known = self._known.get((name, text))
        if known is None:
            check_name(name)
            try:
                parsed = decode_labels(text)
            except (*UNREADABLE, RecursionError) as error:
                raise Invalid("bad_labels", readable(error)) from None
            check_labels(parsed)
            known = msgspec.Raw(_encode(parsed))
            if len(text) <= _LARGEST_KEPT:
                if len(self._known) >= _CAPACITY:
                    # Starting over costs microseconds a series; keeping an order would cost each sample.
                    self._known.clear()
                self._known[name, text] = known
        return known
