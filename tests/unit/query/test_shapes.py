"""Sketches, filling and thinning: what becomes of figures on their way to a chart."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query import sketches
from query.columns import Points, micros
from query.downsample import thin
from query.filling import Filling, fill
from query.parameters import TimeRange

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHARES = [0.5, 0.95, 0.99]


def key_of(value: float) -> int:
    """`sketch_key` of the database."""
    if value == 0:
        return 0
    size = int(np.ceil(np.log(abs(value)) / np.log(1.01 / 0.99))) + 40_000
    return size if value > 0 else -size


def encoded(values: Sequence[float]) -> bytes:
    return b"".join(struct.pack(">iq", key_of(value), 1) for value in values)


POSITIVE = st.floats(1e-300, 1e290) | st.floats(0.001, 1e6) | st.integers(1, 10).map(float)


@given(st.lists(POSITIVE, min_size=1, max_size=80), st.integers(0, 80))
def test_percentiles_from_sketches_keep_their_error(values: list[float], cut: int) -> None:
    """Within 1 % of what PostgreSQL makes of the values, however they were divided among sketches."""
    _, (found,) = sketches.decode([0], [encoded(values)]).percentiles(SHARES)
    expected = np.quantile(values, SHARES)
    assert found == pytest.approx(expected, rel=0.01 + 1e-9)
    merged = sketches.NONE
    for part in (values[:cut], values[cut:]):
        merged = merged.merged(sketches.decode([0], [encoded(part)]))
    assert merged.percentiles(SHARES) == ([len(values)], [found])


def test_sketches_of_different_places_stay_apart() -> None:
    """Each has its own count and percentiles, in the order of the places, however they came."""
    some = sketches.decode([2, 0, 2], [encoded([7.0]), encoded([-3.0, 5.0]), encoded([9.0])])
    counts, values = some.merged(sketches.decode([1], [encoded([0.0])])).percentiles([0.0, 1.0])
    assert counts == [2, 1, 2]
    assert values == [pytest.approx(expected, rel=0.0101) for expected in ([-3, 5], [0, 0], [7, 9])]


def test_sketches_know_zero_and_less() -> None:
    """Signs are kept, and the order of the values is that of the classes."""
    _, (found,) = sketches.decode([0], [encoded([-100.0, -1.0, 0.0, 1.0, 100.0])]).percentiles(
        [0.0, 0.25, 0.5, 0.75, 1.0]
    )
    assert found == pytest.approx([-100, -1, 0, 1, 100], rel=0.0101)


VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([float("inf"), 0.0]))


@given(st.lists(VALUES, max_size=300), st.integers(8, 100))
def test_thinning_keeps_ends_and_extremes(values: list[float | None], most: int) -> None:
    """The first, the last, the least and the greatest survive, in order, and few enough are left."""
    kept = thin(values, most).tolist()
    assert len(kept) <= most
    assert kept == sorted(set(kept) & set(range(len(values))))
    if len(values) <= most:
        assert len(kept) == len(values)
        return
    finite = {at: one for at, one in enumerate(values) if one is not None and isfinite(one)}
    if finite:
        assert (kept[0], kept[-1]) == (min(finite), max(finite))
        assert {min(finite.values()), max(finite.values())} <= {values[at] for at in kept}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [(1, 2, 5.0), (3, 1, 7.0)]),
        ("null", [(0, 0, None), (1, 2, 5.0), (2, 0, None), (3, 1, 7.0), (4, 0, None)]),
        ("zero", [(0, 0, 0.0), (1, 2, 5.0), (2, 0, 0.0), (3, 1, 7.0), (4, 0, 0.0)]),
        ("previous", [(0, 0, None), (1, 2, 5.0), (2, 0, 5.0), (3, 1, 7.0), (4, 0, 7.0)]),
    ],
)
def test_gaps_are_filled(how: Filling, expected: list[tuple[int, int, float | None]]) -> None:
    """Each bucket of the range once, the one that the range begins in too."""
    at = np.array([micros(BEGIN + MINUTE), micros(BEGIN + 3 * MINUTE)])
    found = Points(at, np.array([2, 1]), np.array([5.0, 7.0]))
    asked = TimeRange(BEGIN + MINUTE / 2, BEGIN + 4.5 * MINUTE)
    filled = fill(found, asked, MINUTE, how)
    minutes = (filled.at - micros(BEGIN)) // micros(MINUTE)
    values = [None if isnan(value) else value for value in filled.value.tolist()]
    assert list(zip(minutes.tolist(), filled.n.tolist(), values, strict=True)) == expected
