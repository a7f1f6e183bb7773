"""The minutes that a batch marks as changed: all that it touches, few marks, exact where it can be."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.marks import MOST_MARKS, touched

MINUTE = 60_000_000


def marked(minutes: list[int]) -> list[tuple[int, int]]:
    """The marks of one sample in each of these minutes, in minutes."""
    first, last = touched(np.array([m * MINUTE + (m * 7919) % MINUTE for m in minutes], np.int64))
    assert all(edge % MINUTE == 0 for edge in first + last)
    return [(a // MINUTE, b // MINUTE) for a, b in zip(first, last, strict=True)]


def test_minutes_in_a_row_are_one_mark() -> None:
    """Runs of neighbouring minutes, each from its first to behind its last."""
    assert marked([]) == []
    assert marked([7]) == [(7, 8)]
    assert marked([12, 5, 6, 5, 7, 10, 11]) == [(5, 8), (10, 13)]
    assert marked([-1, 0]) == [(-1, 1)]


@given(st.lists(st.integers(0, 50_000), min_size=1, max_size=400))
def test_every_touched_minute_is_marked_and_no_other_unless_there_are_too_many(
    minutes: list[int],
) -> None:
    """Marks are apart, ascending and bounded; more than the bound join across the shortest gaps."""
    marks = marked(minutes)
    covered = {minute for a, b in marks for minute in range(a, b)}
    assert set(minutes) <= covered
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(marks))
    ordered = sorted(set(minutes))
    gaps = sorted(b - a - 1 for a, b in itertools.pairwise(ordered) if b - a > 1)
    filled = len(covered) - len(ordered)
    assert len(marks) == min(len(gaps) + 1, MOST_MARKS)
    assert filled == sum(gaps[: max(0, len(gaps) + 1 - MOST_MARKS)])


def test_a_thousand_scattered_minutes_are_a_hundred_marks() -> None:
    """A tenant that scatters its samples over a month can't flood the table of marks."""
    marks = marked([i * 40 + i % 3 for i in range(1000)])
    assert len(marks) == MOST_MARKS
    assert (marks[0][0], marks[-1][1]) == (0, 999 * 40 + 1)
