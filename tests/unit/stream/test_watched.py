"""Samples reduced to half seconds, and the records that carry them."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import fields
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Source
from schemas.errors import Invalid
from schemas.samples import MAX_MAGNITUDE
from schemas.watched import Header, WatchedSeries, decode, encode, entry, partition_of
from schemas.watched_rows import EXACT, PARTS, SLOT, Part, WatchedRows, class_of, value_of
from stream.core.reduction import reduced

TENANT = UUID("00000000-0000-0000-0000-000000000001")
HEADER = Header(Source("metrics.samples.v1", 3), 1, 100, 220, 1_760_000_000_000_000, 1)
VALUES = st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE) | st.integers(-20, 20).map(float)
SAMPLES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(-3 * SLOT, 3 * SLOT), VALUES),
    max_size=60,
)
Samples = list[tuple[int, int, float]]


def reduce(samples: Samples, kept: set[int], parts: Collection[Part] = PARTS) -> WatchedRows:
    """The samples' rows; values are kept of the series in `kept`."""
    series = np.array([s for s, _, _ in samples], np.int64)
    return reduced(
        series,
        np.array([ts for _, ts, _ in samples], np.int64),
        np.array([value for _, _, value in samples], np.float64),
        np.isin(series, list(kept)),
        parts=parts,
    )


def record(rows: WatchedRows) -> bytes:
    """A record of these rows, of series that are called by their number."""
    return encode(HEADER, [entry(described(n)) for n in np.unique(rows.series).tolist()], rows)


def described(number: int) -> WatchedSeries:
    return WatchedSeries(number, TENANT, f"m{number}", f'{{"host":"h{number}"}}')


def columns(rows: WatchedRows) -> dict[str, list[float]]:
    return {field.name: getattr(rows, field.name).tolist() for field in fields(rows)}


@given(SAMPLES, st.sets(st.integers(1, 4)))
def test_a_row_says_what_its_samples_say(samples: Samples, kept: set[int]) -> None:
    """Each series and half second, by plain loops over its samples in the order of time."""
    found: defaultdict[tuple[int, int], Samples] = defaultdict(list)
    for sample in sorted(samples, key=lambda s: (s[0], s[1])):
        found[sample[0], -(-sample[1] // SLOT)].append(sample)
    rows = reduce(samples, kept)
    assert list(zip(rows.series.tolist(), rows.slot.tolist(), strict=True)) == sorted(found)
    exact = rows.exact.tolist()
    for row, ((series, _), inside) in enumerate(sorted(found.items())):
        times, values = [ts for _, ts, _ in inside], [value for _, _, value in inside]
        assert rows.n[row] == len(inside)
        assert (rows.first_ts[row], rows.last_ts[row]) == (times[0], times[-1])
        assert (rows.first[row], rows.last[row]) == (values[0], values[-1])
        assert (rows.min[row], rows.max[row]) == (min(values), max(values))
        assert rows.sum[row] == pytest.approx(
            sum(values), rel=1e-9, abs=1e-9 * max(map(abs, values))
        )
        steps = [b - a if b >= a else b for a, b in pairwise(values)]
        assert rows.increase[row] == pytest.approx(
            sum(steps), rel=1e-9, abs=1e-9 * max(map(abs, values))
        )
        if series in kept or len(inside) == 1:
            assert rows.exact_of[row] == len(inside)
            assert [exact.pop(0) for _ in inside] == values
        else:
            assert rows.exact_of[row] == 0
    assert exact == []


def test_many_values_are_counted_by_class() -> None:
    """Above the limit: every value is in a class that stands for it within one per cent."""
    values = np.random.default_rng(1).lognormal(3, 2, EXACT + 1)
    values[:3] = 0, -1.5, -1e200
    samples = [(7, 1 + i, value) for i, value in enumerate(values.tolist())]
    rows = reduce([(5, 1, 2.0), *samples, (9, 1, 3.0)], {7, 9})
    assert rows.exact.tolist() == [2.0, 3.0]
    assert rows.classes_of.tolist() == [0, len(rows.keys), 0]
    assert rows.counts.sum() == len(values)
    standing = np.repeat(value_of(rows.keys), rows.counts)
    np.testing.assert_allclose(standing, np.sort(values), rtol=0.0100001)
    assert columns(decode(record(rows)).rows) == columns(rows)


@given(SAMPLES, st.sets(st.integers(1, 4)))
def test_a_record_says_what_was_written(samples: Samples, kept: set[int]) -> None:
    """Header, dictionary and every column."""
    rows = reduce(samples, kept)
    read = decode(record(rows))
    assert read.header == HEADER
    assert read.header.place == (1, 100, 1)
    assert columns(read.rows) == columns(rows)
    assert read.described() == [described(n) for n in sorted({s for s, _, _ in samples})]
    assert all(one.label_set() == {"host": f"h{one.series_id}"} for one in read.described())


@given(SAMPLES, st.sets(st.sampled_from(sorted(PARTS - {"values"}))))
def test_a_figure_that_nobody_asks_for_is_not_sent(samples: Samples, asked: set[Part]) -> None:
    """It costs no byte; of a row of one sample it is known all the same."""
    every, some = reduce(samples, set()), reduce(samples, set(), asked)
    read = decode(record(some)).rows
    known = every.n == 1
    for name, column in columns(every).items():
        expected = np.array(column)
        if name in PARTS - asked:
            assert getattr(some, name).tolist() == []
            expected[~known] = np.nan
        np.testing.assert_array_equal(getattr(read, name), expected)
    order = np.arange(len(some))[::-1]
    assert record(some.take(order).take(order)) == record(some)


@given(st.binary(max_size=80), st.integers(0, 200))
def test_nothing_else_is_read(junk: bytes, place: int) -> None:
    """Not noise, not a record that broke off, not one with bytes of something else in it."""
    value = record(reduce([(1, 1, 2.0), (2, 2, 3.0), (2, 3, 4.0)], {2}))
    for wrong in (junk, value[:place] + junk, value[:place] + junk + value[place:]):
        if wrong != value:
            try:
                read = decode(wrong)
            except Invalid:
                continue
            # LZ4 has no checksum: what was changed may be a number, as long as all fits together.
            assert len(read.rows) == len(read.rows.n) == len(read.rows.max)


def test_a_size_that_no_record_has_is_refused_at_once() -> None:
    """Four bytes must not ask for gigabytes."""
    with pytest.raises(Invalid, match="at most"):
        decode(b"\xff\xff\xff\xff" + record(reduce([], set()))[4:])


@given(st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, allow_subnormal=False))
def test_a_class_stands_for_its_values(value: float) -> None:
    """Within one per cent, of either sign."""
    (read,) = value_of(class_of(np.array([value])))
    assert read == pytest.approx(value, rel=0.0100001)


def test_a_metric_stays_in_its_partition() -> None:
    """Ingest and the alerts process must agree on it for ever."""
    found = [partition_of(TENANT, metric=f"metric-{i}", partitions=4) for i in range(8)]
    assert found == [3, 1, 3, 1, 2, 0, 2, 0]
