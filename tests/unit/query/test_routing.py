"""Which source answers what."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.parameters import TimeRange
from query.routing import WIDTHS, Retention, Route, estimates, numbers, percentiles, points
from schemas.settings import Settings

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEPT = Retention().kept(NOW, None)
BUCKETS = st.sampled_from([1, 7, 30, 60, 90, 300, 900, 1800, 3600, 5400, 7200, 86_400]).map(
    lambda seconds: timedelta(seconds=seconds)
)
MOMENTS = st.one_of(
    st.datetimes(datetime(2019, 1, 1), datetime(2026, 6, 1, 12), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 60 * 86_400 * 1_000_000).map(
        lambda micros: NOW - timedelta(microseconds=micros)
    ),
    st.integers(0, 7 * 365 * 24).map(lambda hours: NOW - hours * HOUR),
)
RANGES = (
    st.tuples(MOMENTS, MOMENTS)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: TimeRange(min(pair), max(pair)))
)


def asked(*, ago: timedelta, length: timedelta) -> TimeRange:
    return TimeRange(NOW - ago, NOW - ago + length)


def check(route: Route, range_: TimeRange) -> None:
    """The pieces touch, cover the route's range, and lie on their grids."""
    assert route.pieces[0].start == route.asked.start
    assert route.pieces[-1].end == route.asked.end
    assert all(one.end == other.start for one, other in pairwise(route.pieces))
    assert route.asked.start <= range_.start < range_.end <= route.asked.end
    for piece in route.pieces:
        assert piece.start < piece.end
        for edge in (piece.start, piece.end):
            assert not (edge - datetime(1970, 1, 1, tzinfo=UTC)) % WIDTHS[piece.level]
        if route.bucket is not None:
            assert not route.bucket % WIDTHS[piece.level]


@given(RANGES, st.none() | BUCKETS, st.none() | st.integers(1, 3650))
def test_a_route_covers_the_range_exactly(
    range_: TimeRange, bucket: timedelta | None, days: int | None
) -> None:
    """No time twice, none left out, no piece off its source's grid or older than what is kept."""
    kept = Retention().kept(NOW, days)
    route = numbers(range_, bucket, kept)
    check(route, range_)
    assert route.level == max(route.pieces, key=lambda piece: WIDTHS[piece.level]).level
    oldest = min(kept.values())
    for piece in route.pieces:
        assert piece.end > kept[piece.level] or range_.start < oldest
    if range_.start >= kept["raw"]:
        assert (route.asked, route.bucket, route.degradation) == (range_, bucket, None)


@given(RANGES, st.none() | BUCKETS, st.none() | st.integers(1, 3650), st.booleans())
def test_percentiles_cover_the_range_too(
    range_: TimeRange, bucket: timedelta | None, days: int | None, sketched: bool
) -> None:
    """From raw samples in one piece, or from sketches with raw samples at the edges."""
    route = percentiles(range_, bucket, Retention().kept(NOW, days), sketched=sketched)
    check(route, range_)
    assert {piece.level for piece in route.pieces} <= {"raw", "sketch_1h"}
    assert sketched or route.level == "raw"
    assert (route.level == "raw") == (len(route.pieces) == 1 and route.pieces[0].level == "raw")


@given(RANGES, st.none() | BUCKETS, st.none() | st.integers(1, 3650))
def test_estimates_take_whole_buckets(
    range_: TimeRange, bucket: timedelta | None, days: int | None
) -> None:
    """A rate from rollups is of one level, whose buckets hold the range."""
    route = estimates(range_, bucket, Retention().kept(NOW, days))
    check(route, range_)
    assert len(route.pieces) == 1
    assert route.level != "raw"


@pytest.mark.parametrize(
    ("range_", "bucket", "level"),
    [
        (asked(ago=30 * 24 * HOUR, length=30 * 24 * HOUR), 6 * HOUR, "1h"),
        (asked(ago=30 * 24 * HOUR, length=30 * 24 * HOUR), None, "1h"),
        (asked(ago=24 * HOUR, length=24 * HOUR), 5 * HOUR / 60, "5m"),
        (asked(ago=24 * HOUR, length=24 * HOUR), 7 * HOUR / 60, "1m"),
        (asked(ago=24 * HOUR, length=24 * HOUR), HOUR / 120, "raw"),
        (asked(ago=HOUR / 2, length=HOUR / 2), HOUR, "5m"),
        (asked(ago=HOUR / 60, length=HOUR / 3600), HOUR, "raw"),
    ],
)
def test_the_coarsest_source_that_fits_is_taken(
    range_: TimeRange, bucket: timedelta | None, level: str
) -> None:
    """Its buckets fill the asked ones, and at least one lies in the range."""
    assert numbers(range_, bucket, KEPT).level == level


def test_what_is_gone_degrades() -> None:
    """Buckets and edges become as wide as the finest source that is left, and the route says why."""
    old = asked(ago=40 * 24 * HOUR + timedelta(seconds=7), length=HOUR)
    route = numbers(old, HOUR / 120, KEPT)
    assert route.bucket == HOUR / 60
    assert route.asked == asked(ago=40 * 24 * HOUR + HOUR / 60, length=HOUR + HOUR / 60)
    assert route.degradation
    assert (route.degradation.degraded_from, route.degradation.degraded_to) == ("raw", "1m")
    assert numbers(asked(ago=400 * 24 * HOUR, length=HOUR), HOUR / 60, KEPT).bucket == HOUR / 12
    assert numbers(asked(ago=800 * 24 * HOUR, length=HOUR), HOUR / 60, KEPT).bucket == HOUR
    lost = percentiles(old, HOUR, KEPT, sketched=False)
    assert lost.degradation
    assert "histogram" in lost.degradation.reason
    sketched = percentiles(old, HOUR / 60, KEPT, sketched=True)
    assert (sketched.level, sketched.bucket) == ("sketch_1h", HOUR)


def test_points_degrade_to_the_finest_source_that_is_left() -> None:
    """Raw becomes minutes, minutes become five, and nothing becomes finer than asked for."""
    assert points(NOW - 29 * 24 * HOUR, "raw", KEPT) == "raw"
    assert points(NOW - 31 * 24 * HOUR, "raw", KEPT) == "1m"
    assert points(NOW - 400 * 24 * HOUR, "raw", KEPT) == "5m"
    assert points(NOW - 400 * 24 * HOUR, "1h", KEPT) == "1h"
    assert points(NOW - 9000 * 24 * HOUR, "1m", KEPT) == "1h"


def test_a_definition_may_keep_raw_samples_longer() -> None:
    """Then they are read; one that keeps less takes its rollups along, so nothing is finer than raw."""
    year = asked(ago=300 * 24 * HOUR, length=HOUR / 60)
    assert numbers(year, HOUR / 120, Retention().kept(NOW, 365)).level == "raw"
    assert Retention().kept(NOW, 1) == KEPT


def test_the_retention_is_that_of_the_settings() -> None:
    """The API and maintenance go by the same policy."""
    assert Retention.of(Settings().lifecycle) == Retention()
