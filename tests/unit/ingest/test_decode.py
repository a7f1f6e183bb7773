"""Records to batches: what is good is kept, what is bad is named, nothing else is touched."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Batch, Chunk, Claim, Refusal
from schemas.series import key_text
from sinks.rejections import rejections
from sinks.tallies import tally
from tests.unit.ingest.memory import (
    NOW,
    SOURCE,
    TENANT,
    MemoryDictionary,
    MemoryRecord,
    MemoryTenants,
    decode,
    decoder,
    envelope,
    reasons,
    sample,
)


def rows(batch: Batch) -> list[dict[str, Any]]:
    """Rows of samples as dictionaries."""
    found: list[dict[str, Any]] = batch.samples.data.to_pylist()
    return found


async def test_an_envelope_becomes_rows_sorted_by_series_and_time() -> None:
    """Rows come out by series and time, whatever order they came in."""
    batch = await decode(
        envelope(
            sample(labels={"host": "b"}, timestamp=NOW // 1000 + 5),
            sample(labels={"host": "a"}, timestamp=NOW // 1000 + 9),
            sample(labels={"host": "b"}, timestamp=NOW // 1000 + 1),
        )
    )
    order = [(row["series_id"], row["ts"]) for row in rows(batch)]
    assert order == sorted(order)
    assert len(order) == 3
    assert batch.rejects == []


async def test_label_order_does_not_make_another_series() -> None:
    """Two spellings of one label set are one series."""
    dictionary = MemoryDictionary()
    text = '{"tenant_id":"%s","metrics":[{"name":"x","value":1,"labels":%s,"timestamp":%d}]}'
    batch = await decode(
        (text % (TENANT, '{"a":"1","b":"2"}', NOW // 1000)).encode(),
        (text % (TENANT, '{"b": "2", "a": "1"}', NOW // 1000)).encode(),
        dictionary=dictionary,
    )
    assert len({row["series_id"] for row in rows(batch)}) == 1


@pytest.mark.parametrize(
    ("stamp", "micros"),
    [
        ("2025-10-09T08:53:20Z", NOW),
        ("2025-10-09T10:53:20+02:00", NOW),
        ("2025-10-09T08:53:20.123456789Z", NOW + 123_456),
        ("2025-10-09T08:53:20.81599183Z", NOW + 815_991),
        (NOW // 1000, NOW),
        (NOW / 1000 + 0.25, NOW + 250),
        (None, NOW),
    ],
)
@pytest.mark.parametrize("beside", [[], [None], ["2025-10-09T08:53:20Z"], [NOW // 1000]])
async def test_a_timestamp_is_read_in_each_form_alone_and_beside_others(
    stamp: object, micros: int, beside: list[object]
) -> None:
    """RFC 3339 with any zone and up to nine digits, milliseconds, or the record's own time."""
    batch = await decode(
        envelope(sample(timestamp=stamp), *(sample(name="other", timestamp=b) for b in beside))
    )
    found = [int(row["ts"].timestamp() * 1e6 + 0.5) for row in rows(batch)]
    assert micros in found
    assert len(found) == 1 + len(beside)


async def test_numbers_booleans_and_text_land_in_their_own_columns() -> None:
    """A mixed envelope keeps each value's kind."""
    batch = await decode(
        envelope(
            sample(name="a", value=2), sample(name="b", value=True), sample(name="c", value="up")
        )
    )
    values = {(row["v_num"], row["v_bool"], row["v_text"]) for row in rows(batch)}
    assert values == {(2.0, None, None), (None, True, None), (None, None, "up")}


async def test_a_record_may_be_a_single_sample() -> None:
    """Without `metrics` the record itself is the sample."""
    single = msgspec.json.encode({"tenant_id": str(TENANT), **sample()})
    assert len(rows(await decode(single))) == 1


async def test_points_of_a_run_go_to_their_own_table() -> None:
    """An envelope with an execution id is no ordinary sample."""
    execution = uuid4()
    batch = await decode(envelope(sample(), execution_id=str(execution)), envelope(sample()))
    assert batch.points.data["execution_id"].to_pylist() == [execution.bytes]
    assert batch.samples.data.num_rows == 1


OTHER = uuid4()
RUNS = [None, uuid4(), uuid4()]
records_of_anybody = st.lists(
    st.tuples(
        st.sampled_from([TENANT, OTHER]), st.sampled_from(RUNS), st.integers(1, 3), st.booleans()
    ),
    max_size=12,
)


@given(records_of_anybody)
async def test_each_sample_stays_its_tenants_and_its_runs(
    wanted: list[tuple[UUID, UUID | None, int, bool]],
) -> None:
    """Records of one tenant and run are read together; those of others come in between."""
    dictionary = MemoryDictionary()
    records, expected = [], []
    for at, (tenant, run, count, is_timed) in enumerate(wanted):
        sent = [
            sample(value=float(100 * at + item), timestamp=NOW // 1000 - item if is_timed else None)
            for item in range(count)
        ]
        execution = {} if run is None else {"execution_id": str(run)}
        value = envelope(*sent, tenant_id=str(tenant), **execution)
        records.append(MemoryRecord(value, offset=at, timestamp=NOW // 1000 - 1000 * at))
        for item in range(count):
            ts = NOW - 1000 * item if is_timed else NOW - 1_000_000 * at
            expected.append((tenant, run and run.bytes, ts, float(100 * at + item), at, item))
    chunk = Chunk(SOURCE, Claim(0, len(records)), records)
    tenants = MemoryTenants(known={TENANT, OTHER})
    batch = await decoder(dictionary, tenants).decode([chunk])
    found = []
    for part, value_of in ((batch.samples, "v_num"), (batch.points, "value")):
        for row, at, item in zip(part.data.to_pylist(), part.record, part.item, strict=True):
            tenant = dictionary.series[row["series_id"]].tenant_id
            ts = round(row["ts"].timestamp() * 1e6)
            found.append((tenant, row.get("execution_id"), ts, row[value_of], int(at), int(item)))
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    counts = {"stored": len(expected), "received": len(expected)}
    assert tally(batch, batch.samples, batch.points, [], {}) == {SOURCE: counts}


BAD_RECORDS = {
    b"{not json": "bad_json",
    b"": "bad_json",
    b"[1,2]": "bad_envelope",
    b'{"metrics":[]}': "bad_envelope",
    envelope(): "bad_envelope",
    envelope(sample(), source="x").replace(b'"x"', b'"\xff"'): "bad_utf8",
    msgspec.json.encode({"tenant_id": str(uuid4()), **sample()}): "unknown_tenant",
    msgspec.json.encode({"tenant_id": "nobody", **sample()}): "unknown_tenant",
    envelope(sample(), execution_id="7"): "bad_execution_id",
    envelope(*[sample()] * 10_001): "too_many_samples",
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000: "bad_json",
}


@pytest.mark.parametrize(("value", "reason"), BAD_RECORDS.items(), ids=[*BAD_RECORDS.values()])
async def test_a_record_that_is_wrong_as_a_whole_is_one_reject(value: bytes, reason: str) -> None:
    """It costs itself; the records around it are stored."""
    batch = await decode(envelope(sample()), value, envelope(sample()))
    assert reasons(batch) == [(1, None, reason)]
    assert len(rows(batch)) == 2


BAD_SAMPLES: list[tuple[object, str]] = [
    ({"value": 1}, "bad_name"),
    (sample(name=""), "bad_name"),
    (sample(name=7), "bad_name"),
    (sample(name="a\0b"), "nul_character"),
    ({"name": "x"}, "bad_value"),
    (sample(value=None), "bad_value"),
    (sample(value=[1]), "bad_value"),
    (sample(value=-1.1e290), "out_of_range"),
    (sample(value="x" * 2**20), "text_too_long"),
    (sample(value="a\0"), "nul_character"),
    (sample(labels={"host": 1}), "bad_labels"),
    (sample(labels={"1x": "a"}), "bad_labels"),
    (sample(labels=[]), "bad_labels"),
    (sample(labels={"a": "\0"}), "nul_character"),
    (sample(labels={f"l{i}": "" for i in range(65)}), "bad_labels"),
    (sample(timestamp="yesterday"), "bad_timestamp"),
    (sample(timestamp="2025-10-09T08:53:20"), "bad_timestamp"),
    (sample(timestamp=[]), "bad_timestamp"),
    (sample(timestamp=0), "too_old"),
    (sample(timestamp="1970-01-01T00:00:00Z"), "too_old"),
    (sample(timestamp="2106-02-07T06:28:16Z"), "too_far_ahead"),
    (sample(timestamp=10**300), "bad_timestamp"),
    (7, "bad_sample"),
]


@pytest.mark.parametrize(
    ("bad", "reason"), BAD_SAMPLES, ids=[f"{r}{i}" for i, (_, r) in enumerate(BAD_SAMPLES)]
)
async def test_a_bad_sample_costs_itself_and_nothing_else(bad: object, reason: str) -> None:
    """The other samples of its envelope are stored, and it is named by its place."""
    batch = await decode(envelope(sample(), bad, sample(name="other")))
    assert reasons(batch) == [(0, 1, reason)]
    assert len(rows(batch)) == 2


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
async def test_pythons_nan_costs_its_sample_and_not_the_envelope(literal: str) -> None:
    """`json.dumps` writes literals that are not JSON; only that sample is refused."""
    text = json.dumps(
        {"tenant_id": str(TENANT), "metrics": [sample(), sample(value=float(literal)), sample()]}
    )
    batch = await decode(text.encode())
    assert reasons(batch) == [(0, 1, "not_finite")]
    assert len(rows(batch)) == 2


async def test_a_name_that_is_not_utf8_costs_its_sample() -> None:
    """The envelope around it is readable, so its other samples are stored."""
    batch = await decode(envelope(sample(), sample(name="?")).replace(b'"?"', b'"\xff"'))
    assert reasons(batch) == [(0, 1, "bad_utf8")]
    assert len(rows(batch)) == 1


async def test_a_lone_surrogate_costs_its_sample() -> None:
    """Python's own `json.dumps` writes them, and UTF-8 has none."""
    text = json.dumps(
        {"tenant_id": str(TENANT), "metrics": [sample(), sample(labels={"a": "\ud800"}), sample()]}
    )
    batch = await decode(text.encode())
    assert reasons(batch) == [(0, 1, "bad_text")]
    assert len(rows(batch)) == 2


async def test_a_number_beyond_float64_is_not_finite() -> None:
    """1e999 is JSON, and no float."""
    text = envelope(sample(value=1)).replace(b'"value":1', b'"value":1e999')
    assert reasons(await decode(text)) == [(0, 0, "not_finite")]


async def test_points_of_a_run_must_be_numbers() -> None:
    """A boolean point is refused, with the run that misses it."""
    execution = uuid4()
    batch = await decode(envelope(sample(), sample(value=True), execution_id=str(execution)))
    assert reasons(batch) == [(0, 1, "bad_value")]
    assert batch.rejects[0].execution == execution.bytes


async def test_an_imported_point_may_be_old_but_not_from_the_future() -> None:
    """The import header widens the window into the past only."""
    old = sample(timestamp="2020-01-01T00:00:00Z")
    ahead = sample(timestamp="2106-02-07T06:28:16Z")
    record = MemoryRecord(
        envelope(old, ahead, execution_id=str(uuid4())), headers=[("headrace-import", b"1")]
    )
    assert reasons(await decode(record)) == [(0, 1, "too_far_ahead")]


async def test_a_tenant_made_a_moment_ago_is_found_by_asking_again() -> None:
    """An unknown tenant id costs one look at the database, not the record."""
    newcomer = UUID(int=7)
    value = msgspec.json.encode({"tenant_id": str(newcomer), **sample()})
    chunk = Chunk(SOURCE, Claim(0, 1), [MemoryRecord(value)])
    batch = await decoder(tenants=MemoryTenants(later={newcomer})).decode([chunk])
    assert batch.rejects == []


def arrow(keys: list[str], values: list[float | None], **columns: object) -> MemoryRecord:
    """An Arrow envelope with one sample a key."""
    data = {
        "ts": pa.array(
            [datetime.fromtimestamp(NOW / 1e6, UTC)] * len(keys), pa.timestamp("us", "UTC")
        ),
        "series": pa.array(keys).dictionary_encode(),
        "v_num": pa.array(values, pa.float64()),
        **columns,
    }
    table = pa.table(data).replace_schema_metadata({"tenant_id": str(TENANT), "source": "s"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return MemoryRecord(
        sink.getvalue().to_pybytes(),
        headers=[("content-type", b"application/vnd.apache.arrow.stream")],
    )


async def test_arrow_and_json_name_the_same_series() -> None:
    """A series is the same whichever format a producer chose."""
    dictionary = MemoryDictionary()
    batch = await decode(
        envelope(sample()), arrow([key_text("cpu", {"host": "a"})], [2.0]), dictionary=dictionary
    )
    assert [row["series_id"] for row in rows(batch)] == [1, 1]


async def test_an_arrow_sample_that_is_not_finite_or_has_a_bad_key_costs_itself() -> None:
    """Rows around a bad one are stored."""
    good = key_text("cpu", {})
    batch = await decode(arrow([good, good, "nonsense", good], [1.0, float("nan"), 1.0, 2.0]))
    assert reasons(batch) == [(0, 1, "not_finite"), (0, 2, "bad_series_key")]
    assert len(rows(batch)) == 2


async def test_an_arrow_number_that_no_sum_can_hold_costs_itself() -> None:
    """Beyond 1e290, in a batch of numbers alone and beside texts."""
    texts = pa.array([None, None, "up"])
    plain, mixed = (
        arrow([CPU] * 3, [1.0, 1e300, v], **c) for v, c in ((2.0, {}), (None, {"v_text": texts}))
    )
    batch = await decode(plain, mixed)
    assert reasons(batch) == [(0, 1, "out_of_range"), (1, 1, "out_of_range")]
    assert len(rows(batch)) == 4


async def test_samples_past_a_limit_are_refused_by_record_with_an_example() -> None:
    """They are neither rows nor rejects; the other samples of their records are stored."""
    dictionary = MemoryDictionary(refused={"wide", "wider"})
    wide = sample(name="wide", labels={"user": "1"})
    first = envelope(sample(), wide, sample(name="wider"))
    for again in range(2):
        batch = await decode(first, envelope(wide, wide), dictionary=dictionary)
        assert [(r.record.offset, r.tenant, r.reason, r.samples) for r in batch.refusals] == [
            (0, TENANT, "too_many_series", 2),
            (1, TENANT, "too_many_series", 2),
        ]
        assert (len(rows(batch)), batch.rejects, batch.size) == (1, [], 5)
        assert len(dictionary.remembered) == 2, again
    tenants, why, counts, _, labels = rejections(batch.refusals)
    assert (tenants, why, counts, labels) == ([TENANT], ["too_many_series"], [4], ['{"user":"1"}'])


async def test_points_of_a_run_past_a_limit_are_dead_lettered() -> None:
    """The run's ledger balances: it has no column for what was rejected."""
    execution = uuid4()
    dictionary = MemoryDictionary(refused={"wide"})
    value = envelope(sample(), sample(name="wide"), execution_id=str(execution))
    batch = await decode(value, dictionary=dictionary)
    assert reasons(batch) == [(0, 1, "too_many_series")]
    assert batch.rejects[0].execution == execution.bytes
    assert batch.refusals == []


async def test_a_batch_bears_the_epoch_of_before_its_first_look_up() -> None:
    """What was cached before a deletion is dropped once, however many batches ask for it."""
    dictionary = MemoryDictionary(deletions=3)
    assert (await decode(envelope(sample()), dictionary=dictionary)).series_epoch == 3
    await decoder(dictionary).forget(2)
    assert dictionary.cache
    await decoder(dictionary).forget(3)
    assert not dictionary.cache


def test_the_example_of_a_rejection_is_small() -> None:
    """Labels may have 64 KiB, and a row of them with each batch would swell the table."""
    raw = json.dumps({f"l{i}": "x" * 1000 for i in range(64)}).encode()
    refusal = Refusal(MemoryRecord(b""), TENANT, "too_many_series", 1, ("cpu", raw))
    *_, (name,), (labels,) = rejections([refusal])
    assert name == "cpu"
    assert len(labels) < 1000
    assert json.loads(labels)["l0"] == "x" * 40


CPU = key_text("cpu", {})
STAMPS = pa.array([datetime.fromtimestamp(NOW / 1e6, UTC)] * 2, pa.timestamp("us", "UTC"))
BAD_ARROW: dict[str, dict[str, Any]] = {
    "null in the dictionary of an index": {"series": pa.array([CPU, None]).dictionary_encode()},
    "index out of range": {
        "series": pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), [CPU], safe=False)
    },
    "negative index": {
        "series": pa.DictionaryArray.from_arrays(pa.array([0, -1], pa.int32()), [CPU], safe=False)
    },
    "series is plain text": {"series": pa.array([CPU, CPU])},
    "null time": {"ts": pa.array([NOW, None], pa.timestamp("us", "UTC"))},
    "time is a number": {"ts": pa.array([NOW, NOW])},
    "boolean of the wrong type": {"v_bool": pa.array([1, 0], pa.int8())},
    "text of the wrong type": {"v_text": pa.array([b"a", b"b"])},
    "text as value": {"v_num": pa.array(["1", "2"])},
}


@pytest.mark.parametrize("columns", BAD_ARROW.values(), ids=[*BAD_ARROW])
async def test_an_arrow_envelope_against_the_rules_is_one_reject(columns: dict[str, Any]) -> None:
    """It is refused as a whole, and the record beside it is stored."""
    batch = await decode(envelope(sample()), arrow([CPU, CPU], [1.0, 2.0], **columns))
    ((offset, item, reason),) = reasons(batch)
    assert (offset, item) == (1, None)
    assert reason in {"bad_envelope", "bad_arrow"}
    assert len(rows(batch)) == 1


async def test_an_arrow_sample_has_exactly_one_value() -> None:
    """Text beside a number is neither."""
    batch = await decode(arrow([CPU] * 3, [1.0, None, 2.0], v_text=pa.array(["a", "b", None])))
    assert reasons(batch) == [(0, 0, "bad_value")]
    assert len(rows(batch)) == 2


def stream(*batches: pa.RecordBatch, **options: Any) -> MemoryRecord:
    """An Arrow envelope of these batches."""
    sink = pa.BufferOutputStream()
    schema = batches[0].schema.with_metadata({"tenant_id": str(TENANT), "source": "s"})
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    header = ("content-type", b"application/vnd.apache.arrow.stream")
    return MemoryRecord(sink.getvalue().to_pybytes(), headers=[header])


def arrow_batch(n: int) -> pa.RecordBatch:
    """A batch of n samples of one series."""
    ts = pa.array(np.full(n, NOW)).cast(pa.timestamp("us", "UTC"))
    series = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([CPU]))
    return pa.record_batch([ts, series, pa.array(np.ones(n))], names=["ts", "series", "v_num"])


async def test_an_arrow_envelope_is_refused_before_it_grows() -> None:
    """More rows than a record may carry, or buffers that would unpack to any size."""
    many = stream(arrow_batch(6_000), arrow_batch(6_000))
    packed = stream(arrow_batch(10), compression="zstd")
    batch = await decode(many, packed, stream(arrow_batch(5_000), arrow_batch(5_000)))
    assert reasons(batch) == [(0, None, "too_many_samples"), (1, None, "bad_arrow")]
    assert len(rows(batch)) == 10_000


async def test_a_defect_of_ours_costs_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw becomes a dead letter: a process that dies of it would die for ever."""

    def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("stream.ingest.arrow_records.ArrowReader._segment", explode)
    batch = await decode(envelope(sample()), stream(arrow_batch(1)), envelope(sample()))
    assert reasons(batch) == [(1, None, "undecodable")]
    assert len(rows(batch)) == 2


async def test_an_arrow_stream_that_breaks_off_is_one_reject() -> None:
    """Half a stream is no stream."""
    record = arrow([key_text("cpu", {})] * 100, [1.0] * 100)
    assert record.value is not None
    record.value = record.value[: len(record.value) // 2]
    assert reasons(await decode(record)) == [(0, None, "bad_arrow")]


numbers = st.floats(-1e290, 1e290)
values = (
    numbers
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
good_samples = st.builds(
    sample,
    name=names,
    value=values,
    labels=st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), names, max_size=3),
)


@given(st.lists(st.lists(good_samples, min_size=1, max_size=5), min_size=1, max_size=5))
async def test_every_sample_lands_once_with_its_series_and_value(
    envelopes: list[list[dict[str, Any]]],
) -> None:
    """Whatever the mix of records, what goes in comes out: the same samples, each once."""
    dictionary = MemoryDictionary()
    batch = await decode(*(envelope(*samples) for samples in envelopes), dictionary=dictionary)
    expected = sorted(
        repr(
            (
                s["name"],
                sorted(s["labels"].items()),
                float(s["value"])
                if isinstance(s["value"], int | float) and not isinstance(s["value"], bool)
                else s["value"],
            )
        )
        for samples in envelopes
        for s in samples
    )
    found = []
    for row in rows(batch):
        series = dictionary.series[row["series_id"]]
        value = next(
            v for v in (row["v_num"], row.get("v_bool"), row.get("v_text")) if v is not None
        )
        found.append(repr((series.name, sorted(json.loads(series.labels).items()), value)))
    assert batch.rejects == []
    assert sorted(found) == expected


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([envelope(sample()), envelope(sample(), 7)]),
        max_size=8,
    )
)
async def test_nothing_that_arrives_is_unaccounted_for(values: list[bytes]) -> None:
    """Each record ends as rows or as rejects, never as neither, whatever its bytes."""
    batch = await decode(*values)
    seen = {int(i) for i in np.unique(batch.samples.record)} | {
        r.record.offset for r in batch.rejects
    }
    assert seen == set(range(len(values)))
