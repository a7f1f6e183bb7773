"""Reads a request's samples: the good ones ready to pack, the bad ones with their faults.

A body that is good as a whole takes the short way. At the first fault the body is read again the long
way, a sample at a time, to say which ones are bad and why; both ways apply the rules of
`schemas.samples` and `schemas.window`.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from producers.gateway.faults import Fault, Written, examine, untimely
from producers.gateway.series import RawSeriesCache
from schemas import timestamps
from schemas.envelopes import NO_LABELS, UNREADABLE, LooseSample, readable
from schemas.errors import Invalid
from schemas.samples import MAX_MAGNITUDE, Value, check_source, check_value
from schemas.window import Window


class TooManySamplesError(Exception):
    """More samples than one request may carry."""


class _Sample(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    value: Value
    labels: msgspec.Raw = NO_LABELS
    timestamp: timestamps.Stamp = None
    source: str = ""


class _Batch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    metrics: list[_Sample]
    source: str = ""


class _Items(msgspec.Struct, forbid_unknown_fields=True):
    metrics: list[Any]
    source: str = ""


_decode_sample = msgspec.json.Decoder(_Sample).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass
class Reading:
    """What a body holds. `good` is by source, each in the order of the body."""

    good: dict[str, list[LooseSample]] = field(default_factory=lambda: defaultdict(list))
    faults: list[Fault] = field(default_factory=list)
    count: int = 0


class Reader:
    """Reads bodies by one set of limits, and remembers the series that it has seen."""

    def __init__(self, window: Window, *, limit: int, default_source: str) -> None:
        self._window = window
        self._limit = limit
        self._default_source = default_source
        self._series = RawSeriesCache()

    def sample(self, body: bytes, now: int) -> Reading:
        """Read one sample; `now` is in microseconds since the epoch. Raises Invalid if it is no JSON."""
        try:
            return self._short_way(_Batch([_decode_sample(body)]), now)
        except (*UNREADABLE, RecursionError, Invalid):
            return self._long_way(_Items([_document(body)]), now)

    def batch(self, body: bytes, now: int) -> Reading:
        """Read `{"metrics": […]}`; `now` is in microseconds since the epoch.

        Raises:
            Invalid: it is not such a document, or holds no sample.
            TooManySamplesError: it holds more than a request may.
        """
        try:
            batch = _decode_batch(body)
            self._count(len(batch.metrics))
            return self._short_way(batch, now)
        except (*UNREADABLE, RecursionError, Invalid):
            items = _items(_document(body))
            self._count(len(items.metrics))
            return self._long_way(items, now)

    def _count(self, count: int) -> None:
        if count == 0:
            raise Invalid("bad_batch", "metrics is empty: a batch carries at least one sample")
        if count > self._limit:
            raise TooManySamplesError(
                f"{count} samples; a request may carry {self._limit}. Send several batches."
            )

    def _short_way(self, batch: _Batch, now: int) -> Reading:
        """The reading of a batch without fault. Raises Invalid at the first fault."""
        default = self._source(batch.source)
        stamps = [sample.timestamp for sample in batch.metrics]
        times = timestamps.column(stamps, now)
        oldest, newest = self._window.bounds(now)
        if times.min() < oldest or times.max() > newest:
            raise Invalid("bad_timestamp", "some time can't be read or is outside the window")
        reading = Reading(count=len(stamps))
        labels = self._series.labels
        millis = now // 1000
        for sample in batch.metrics:
            # JSON has no number that is not finite.
            if type(sample.value) is not float or abs(sample.value) > MAX_MAGNITUDE:
                check_value(sample.value)
            if sample.source:
                check_source(sample.source)
            reading.good[sample.source or default].append(
                LooseSample(
                    sample.name,
                    sample.value,
                    labels(sample.name, sample.labels),
                    millis if sample.timestamp is None else sample.timestamp,
                )
            )
        return reading

    def _long_way(self, items: _Items, now: int) -> Reading:
        default = self._source(items.source)
        reading = Reading(count=len(items.metrics))
        examined = [examine(index, item) for index, item in enumerate(items.metrics)]
        stamps = [one.timestamp if isinstance(one, Written) else None for one in examined]
        oldest, newest = self._window.bounds(now)
        for index, (one, micros) in enumerate(
            zip(examined, timestamps.column(stamps, now).tolist(), strict=True)
        ):
            if isinstance(one, Fault):
                reading.faults.append(one)
            elif not oldest <= micros <= newest:
                reading.faults.append(untimely(index, micros, oldest))
            else:
                at = now // 1000 if one.timestamp is None else one.timestamp
                labels = msgspec.Raw(_encode(one.labels))
                sample = LooseSample(one.name, one.value, labels, at)
                reading.good[one.source or default].append(sample)
        return reading

    def _source(self, given: str) -> str:
        if given:
            check_source(given)
        return given or self._default_source


def _document(body: bytes) -> Any:
    """Python's reading of JSON, which costs NaN, Infinity and lone surrogates only their own sample."""
    try:
        return json.loads(body)
    except UnicodeDecodeError as error:
        raise Invalid("bad_utf8", f"the body is not UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_json", f"the body is not JSON: {error}") from None


def _items(document: Any) -> _Items:
    try:
        return msgspec.convert(document, _Items)
    except msgspec.ValidationError as error:
        raise Invalid("bad_batch", readable(error)) from None
