"""Packing: every sample once, in order, in records that Kafka takes."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from producers.envelopes import pack, record_key
from schemas.envelopes import LooseSample, decode_loose, decode_sample
from schemas.samples import MAX_LABELS, MAX_NAME_BYTES, MAX_TEXT_BYTES
from schemas.topics import MAX_RECORD_BYTES

TENANT = "0190a1b2-0000-7000-8000-000000000001"

samples = st.builds(
    LooseSample,
    name=st.text(min_size=1, max_size=20),
    value=st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text(max_size=50),
    labels=st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=20)).map(
        lambda labels: msgspec.Raw(msgspec.json.encode(labels))
    ),
    timestamp=st.integers(0, 4_000_000_000_000),
)


@given(given_samples=st.lists(samples, max_size=40), most=st.integers(1, 50))
def test_packing_loses_doubles_and_reorders_nothing(
    given_samples: list[LooseSample], most: int
) -> None:
    """Ingest's own decoder reads back exactly what was packed, in records within both limits."""
    packed = list(pack(TENANT, "s", given_samples, most=most, limit=2000))
    read = []
    for record, count in packed:
        envelope = decode_loose(record)
        assert (envelope.tenant_id, envelope.source) == (TENANT, "s")
        assert envelope.metrics is not None
        assert 0 < count == len(envelope.metrics) <= most
        assert len(record) <= 2000 or count == 1
        read += [decode_sample(item) for item in envelope.metrics]
    assert [_plain(one) for one in read] == [_plain(one) for one in given_samples]


def test_the_largest_sample_fits_in_a_record() -> None:
    """Everything at its limit, in the characters that JSON writes longest, is one record."""
    labels = {f"k{n:0255}": "\x01" * MAX_TEXT_BYTES for n in range(MAX_LABELS)}
    largest = LooseSample(
        "\x01" * MAX_NAME_BYTES,
        "\x01" * MAX_TEXT_BYTES,
        msgspec.Raw(msgspec.json.encode(labels)),
        1,
    )
    [(record, _)] = pack(TENANT, "\x01" * MAX_NAME_BYTES, [largest], most=1)
    assert len(record) < MAX_RECORD_BYTES / 2


def test_the_key_keeps_a_source_in_one_partition() -> None:
    """Tenant and source, as the format says."""
    assert record_key(TENANT, "agent") == f"{TENANT}/agent".encode()


def _plain(sample: LooseSample) -> tuple[object, ...]:
    return sample.name, sample.value, bytes(sample.labels), sample.timestamp
