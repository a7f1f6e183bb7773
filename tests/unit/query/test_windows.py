"""Windows that look back in time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from query.parameters import EARLIEST, LATEST
from query.windows import MOST_ROWS, Lookback

MOMENTS = st.datetimes(
    EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC)
)


@given(MOMENTS, MOMENTS, st.lists(st.booleans(), max_size=50))
def test_windows_cover_the_range_once(start: datetime, end: datetime, crowded: list[bool]) -> None:
    """From the end to the start, without a gap or an overlap, however often one was too full."""
    back = Lookback(start, end)
    seen = end
    for number in range(100):
        if not back.left:
            break
        assert start <= back.begin < back.until == seen
        if number < len(crowded) and crowded[number] and back.most_rows == MOST_ROWS:
            back.narrow()
        else:
            seen = back.begin
            back.move_on()
    assert not back.left
    assert seen == (min(end, start))


def test_the_newest_window_is_small() -> None:
    """A fresh series costs minutes of samples, not days."""
    end = datetime(2026, 6, 1, tzinfo=UTC)
    assert Lookback(EARLIEST, end).begin == end - timedelta(minutes=5)


def test_the_narrowest_window_is_one_tick() -> None:
    """However crowded a microsecond is, it is looked at in the end."""
    end = datetime(2026, 6, 1, tzinfo=UTC)
    back = Lookback(EARLIEST, end)
    while back.most_rows == MOST_ROWS:
        back.narrow()
    assert back.begin == end - timedelta(microseconds=1)
