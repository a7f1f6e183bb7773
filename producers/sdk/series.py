"""Checks and encodes a name and its labels once a series, not once a sample."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from schemas.errors import Invalid
from schemas.samples import check_labels, check_name

_encode = msgspec.json.Encoder(order="deterministic").encode

FRAMING = 64
"""Bytes that a sample takes beside its name, labels and text: field names, a number, a time."""


class KnownSeries(NamedTuple):
    """A checked series; `size` estimates the bytes of one numeric sample of it in an envelope."""

    name: str
    labels: msgspec.Raw
    size: int


class SeriesCache:
    """Checked series by name and labels, bounded."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._known: dict[tuple[object, ...], KnownSeries] = {}

    def find(self, name: str, labels: Mapping[str, str]) -> KnownSeries:
        """The series. Raises Invalid when the name or a label breaks the rules of `schemas.samples`."""
        try:
            key = (name, *labels.items())
            known = self._known.get(key)
        except (TypeError, AttributeError):  # not a mapping, or of something that has no hash
            check_name(name)
            check_labels(labels)
            raise Invalid("bad_labels", "labels must map strings to strings") from None
        if known is None:
            check_name(name)
            check_labels(labels)
            # str() because subclasses of str, which pass the checks, can't be encoded.
            name = str(name)
            text = _encode({str(label): str(value) for label, value in labels.items()})
            known = KnownSeries(name, msgspec.Raw(text), len(_encode(name)) + len(text) + FRAMING)
            if len(self._known) >= self._capacity:
                # Starting over costs microseconds a series; keeping an order would cost each sample.
                self._known.clear()
            self._known[key] = known
        return known
