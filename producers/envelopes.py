"""Packs samples into JSON envelopes that a Kafka record can carry (FORMATS of `metrics.samples.v1`)."""

from collections.abc import Iterator

import msgspec

from schemas.envelopes import LooseSample
from schemas.topics import MAX_RECORD_BYTES


class _Envelope(msgspec.Struct, gc=False):
    tenant_id: str
    source: str
    metrics: list[LooseSample]


_encode = msgspec.json.Encoder().encode


def record_key(tenant_id: str, source: str) -> bytes:
    """The key of the samples topic: one source stays in order, in one partition."""
    return f"{tenant_id}/{source}".encode()


def pack(
    tenant_id: str,
    source: str,
    samples: list[LooseSample],
    *,
    most: int,
    limit: int = MAX_RECORD_BYTES,
) -> Iterator[tuple[bytes, int]]:
    """Envelopes of at most `most` samples and `limit` bytes, in order, each with its number of samples.

    A lone sample is never split: by the rules of `schemas.samples` it is smaller than half a record.
    """
    for start in range(0, len(samples), most):
        yield from _fitting(tenant_id, source, samples[start : start + most], limit)


def _fitting(
    tenant_id: str, source: str, samples: list[LooseSample], limit: int
) -> Iterator[tuple[bytes, int]]:
    record = _encode(_Envelope(tenant_id, source, samples))
    if len(record) <= limit or len(samples) == 1:
        yield record, len(samples)
        return
    half = len(samples) // 2
    yield from _fitting(tenant_id, source, samples[:half], limit)
    yield from _fitting(tenant_id, source, samples[half:], limit)
