"""Figures of several rows: counts of their sketches add up, whichever way that is done."""

from collections import Counter
from math import ceil, log

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from query import sketches
from query.k6.figures import figures
from query.sketches import RELATIVE_ERROR

GAMMA = log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
VALUES = st.lists(
    st.sampled_from([0.0, 0.2, 3.5, 3.6, 900.0]) | st.floats(1e-6, 1e9), min_size=1, max_size=40
)


def sketch(values: list[float]) -> bytes:
    """Classes of some values as the database makes them."""
    keys = Counter(0 if value == 0 else ceil(log(value) / GAMMA) + 40_000 for value in values)
    classes = np.array(sorted(keys.items()), dtype=np.int64)
    packed = np.empty(len(classes), np.dtype([("key", ">i4"), ("n", ">i8")]))
    packed["key"], packed["n"] = classes[:, 0], classes[:, 1]
    return packed.tobytes()


@given(st.lists(st.tuples(st.integers(0, 3), VALUES), max_size=12))
def test_sketches_add_up_whether_sorted_or_tabled(parts: list[tuple[int, list[float]]]) -> None:
    """Values close together are added in a table, those far apart by sorting: each place has all of its own."""
    places, classes = [place for place, _ in parts], [sketch(values) for _, values in parts]
    merged = sketches.decode(places, classes)
    one_by_one = sketches.NONE
    for place, values in parts:
        one_by_one = one_by_one.merged(sketches.decode([place], [sketch(values)]))
    assert merged.cells.tolist() == one_by_one.cells.tolist()
    assert merged.counts.tolist() == one_by_one.counts.tolist()
    assert merged.counts.sum() == sum(len(values) for _, values in parts)


@given(VALUES, VALUES)
async def test_percentiles_of_two_rows_are_those_of_all_their_values(
    one: list[float], other: list[float]
) -> None:
    """Within one per cent of numpy's over the values, and not from the percentiles of the rows."""
    both = np.array([*one, *other])
    row = {"n": len(both), "sum": 0, "min": 0, "max": 0, "exact": None}
    (found,), exactness = await figures([{**row, "classes": sketch(one) + sketch(other)}])
    assert exactness.merged
    assert found.percentiles is not None
    np.testing.assert_allclose(
        found.percentiles, np.percentile(both, [50, 90, 95, 99]), rtol=RELATIVE_ERROR + 1e-9
    )
