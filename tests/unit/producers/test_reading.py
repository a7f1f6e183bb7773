"""Reading a request's samples: one set of rules, on the short way and on the long one."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.gateway.documents import Batch
from producers.gateway.reading import Reader, Reading, TooManySamplesError
from schemas.envelopes import LooseSample
from schemas.errors import Invalid
from schemas.window import Window

NOW = 1_800_000_000_000_000


def reader(limit: int = 100) -> Reader:
    window = Window(timedelta(days=30), timedelta(minutes=10))
    return Reader(window, limit=limit, default_source="http")


def batch(*items: Any) -> bytes:
    return json.dumps({"metrics": items}).encode()


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")

good_items = st.fixed_dictionaries(
    {
        "name": st.text(CHARACTERS, min_size=1, max_size=10),
        "value": st.floats(-1e290, 1e290) | st.booleans() | st.text(CHARACTERS, max_size=10),
    },
    optional={
        "labels": st.dictionaries(
            st.from_regex(r"[a-z_][a-z0-9_.]{0,5}", fullmatch=True),
            st.text(CHARACTERS, max_size=10),
            max_size=5,
        ),
        "timestamp": st.integers(NOW // 1000 - 1000, NOW // 1000)
        | st.just("2027-01-15T08:00:00+01:00"),
        "source": st.sampled_from(["", "a", "b"]),
    },
)


@given(st.lists(good_items, min_size=1, max_size=10))
def test_both_ways_read_a_good_batch_the_same(items: list[dict[str, Any]]) -> None:
    """One bad sample sends a batch the long way; the good ones come out as on the short way.

    The documented model takes them too.
    """
    Batch.model_validate({"metrics": items})
    short = reader().batch(batch(*items), NOW)
    long = reader().batch(batch(*items, {"name": "bad"}), NOW)

    assert short.faults == []
    assert [fault.index for fault in long.faults] == [len(items)]
    assert _plain(short) == _plain(long)
    assert sum(len(samples) for samples in short.good.values()) == len(items)


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        ({"name": "", "value": 1}, "name", "bad_name"),
        ({"value": 1}, "name", "bad_name"),
        ({"name": 7, "value": 1}, "name", "bad_name"),
        ({"name": "a"}, "value", "bad_value"),
        ({"name": "a", "value": None}, "value", "bad_value"),
        ({"name": "a", "value": float("nan")}, "value", "not_finite"),
        ({"name": "a", "value": float("inf")}, "value", "not_finite"),
        ({"name": "a", "value": 10**400}, "value", "not_finite"),
        ({"name": "a", "value": -1e300}, "value", "out_of_range"),
        ({"name": "a", "value": "x" * 1025}, "value", "text_too_long"),
        ({"name": "a", "value": "\0"}, "value", "nul_character"),
        ({"name": "\ud800", "value": 1}, "name", "bad_text"),
        ({"name": "a", "value": 1, "labels": {"9": "x"}}, "labels", "bad_labels"),
        ({"name": "a", "value": 1, "labels": {"a": 1}}, "labels", "bad_labels"),
        ({"name": "a", "value": 1, "labels": None}, "labels", "bad_labels"),
        ({"name": "a", "value": 1, "labels": [[[]]]}, "labels", "bad_labels"),
        ({"name": "a", "value": 1, "source": "\0"}, "source", "nul_character"),
        ({"name": "a", "value": 1, "timestamp": "noon"}, "timestamp", "bad_timestamp"),
        ({"name": "a", "value": 1, "timestamp": []}, "timestamp", "bad_timestamp"),
        (
            {"name": "a", "value": 1, "timestamp": "2027-01-15T08:00:00"},
            "timestamp",
            "bad_timestamp",
        ),
        ({"name": "a", "value": 1, "timestamp": 0}, "timestamp", "too_old"),
        (
            {"name": "a", "value": 1, "timestamp": "2106-01-01T00:00:00Z"},
            "timestamp",
            "too_far_ahead",
        ),
        ({"name": "a", "value": 1, "tenant_id": "b"}, "tenant_id", "unknown_field"),
        (7, "", "bad_sample"),
        (None, "", "bad_sample"),
    ],
)
def test_a_bad_sample_is_named_and_costs_itself_alone(item: Any, field: str, reason: str) -> None:
    """Index, field and reason point at it, in a batch and alone; its neighbours are good."""
    neighbour = {"name": "n", "value": 1}
    in_batch = reader().batch(batch(neighbour, item, neighbour), NOW)
    alone = reader().sample(json.dumps(item).encode(), NOW)

    assert [(f.index, f.field, f.reason) for f in in_batch.faults] == [(1, field, reason)]
    assert len(in_batch.good["http"]) == 2
    assert [(f.index, f.field, f.reason) for f in alone.faults] == [(0, field, reason)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'"\xff"', "bad_utf8"),
        (b"[]", "bad_batch"),
        (b"{}", "bad_batch"),
        (b'{"metrics": {}}', "bad_batch"),
        (b'{"metrics": []}', "bad_batch"),
        (b'{"metrics": [], "tenant_id": "x"}', "bad_batch"),
        (b'{"metrics": [{"name": "a", "value": 1}], "source": "\\u0000"}', "nul_character"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(body: bytes, reason: str) -> None:
    """No JSON, not text, another shape, nothing in it, a bad source."""
    with pytest.raises(Invalid) as refusal:
        reader().batch(body, NOW)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("item", [{"name": "a", "value": 1}, 7])
def test_more_samples_than_a_request_may_carry_are_too_many(item: Any) -> None:
    """The limit holds on both ways."""
    with pytest.raises(TooManySamplesError):
        reader(limit=3).batch(batch(*[item] * 4), NOW)
    assert reader(limit=4).batch(batch(*[item] * 4), NOW).count == 4


def test_labels_leave_in_one_spelling_and_an_absent_time_is_now() -> None:
    """Ingest looks series up by these bytes, so spaces and order must not make another series."""
    body = b'{"metrics": [{"name":"a","value":1,"labels":{ "b":"2", "a":"1"}}], "source": "s"}'
    [sample] = reader().batch(body, NOW).good["s"]
    assert bytes(sample.labels) == b'{"a":"1","b":"2"}'
    assert sample.timestamp == NOW // 1000


def _plain(reading: Reading) -> dict[str, list[tuple[object, ...]]]:
    return {
        source: [_values(sample) for sample in samples] for source, samples in reading.good.items()
    }


def _values(sample: LooseSample) -> tuple[object, ...]:
    return sample.name, type(sample.value), sample.value, bytes(sample.labels), sample.timestamp
