"""How wide the steps of a series are, and what of each a run covers."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.k6.intervals import SECOND, covered, hull, width
from query.parameters import TimeRange

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def seconds(*numbers: float) -> list[datetime]:
    """Times so many seconds after one o'clock."""
    return [AT + number * SECOND for number in numbers]


@given(st.floats(1, 43_200), st.floats(0, 3600), st.integers(8, 11_000))
def test_intervals_are_as_many_as_asked_for_at_most(long: float, after: float, most: int) -> None:
    """Wherever the range begins; the next narrower width could make more."""
    start, end = seconds(after, after + long)
    step = width(TimeRange(start, end), most)
    first = (start - AT) // step
    assert (end - AT - timedelta(microseconds=1)) // step - first + 1 <= most


def test_of_a_range_only_the_time_of_its_runs_is_divided() -> None:
    """Twelve hours around a run of half an hour have the run's intervals."""
    start, begin, end, last = seconds(0, 3600.25, 5400.5, 43_200)
    assert hull(TimeRange(start, last), [(begin, end)]) == TimeRange(*seconds(3600, 5401))
    assert hull(TimeRange(start, last), []) == TimeRange(start, last)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50)), max_size=6),
    st.integers(0, 60),
    st.integers(1, 90),
    st.sampled_from([1, 5, 15, 60]),
)
def test_a_second_is_covered_once(
    runs: list[tuple[int, int]], first: int, long: int, step: int
) -> None:
    """By whichever runs, within the range; and never less than one, for a point's clock may be another."""
    spans = [(AT + a * SECOND, AT + (a + b) * SECOND) for a, b in runs]
    line = np.zeros(300, bool)
    for a, b in runs:
        line[a : a + b] = True
    line[:first] = line[first + long :] = False
    at = range(0, 240, step)
    asked = TimeRange(*seconds(first, first + long))
    found = covered(seconds(*at), step * SECOND, asked, spans)
    assert found == pytest.approx([max(1, line[a : a + step].sum()) for a in at])
