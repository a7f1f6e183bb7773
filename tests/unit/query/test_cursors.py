"""Opaque cursors."""

from datetime import UTC, datetime
from typing import cast

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from query import cursors
from query.pages import Position
from query.parameters import EARLIEST, LATEST
from query.routing import Resolution

MOMENTS = st.datetimes(
    EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC)
)


VALUES = st.one_of(
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.none(), st.none()),
    st.tuples(st.none(), st.booleans(), st.none()),
    st.tuples(st.none(), st.none(), st.binary(min_size=16, max_size=16).map(bytes.hex)),
)


@given(
    st.sampled_from(["raw", "1m", "5m", "1h"]),
    st.lists(MOMENTS, min_size=3, max_size=3).map(sorted),
    st.integers(0, 2**63 - 1),
    VALUES,
    st.integers(0, 2**31 - 1),
)
def test_a_cursor_leads_back_to_its_position(
    level: Resolution,
    times: list[datetime],
    series_id: int,
    value: tuple[float | None, bool | None, str | None],
    seen: int,
) -> None:
    """Every position survives, to the microsecond and the last digit, under its own request only."""
    start, at, end = times
    position = Position(level, start, end, at, series_id, *value, seen)
    text = cursors.encode(position, "cpu", None)
    assert len(text) <= 512
    assert cursors.decode(text, Position, "cpu", None) == position
    with pytest.raises(RequestValidationError):
        cursors.decode(text, Position, "mem", None)


@given(st.text(max_size=512) | st.binary(max_size=300).map(lambda raw: raw.hex()))
def test_a_made_up_cursor_is_refused(text: str) -> None:
    """Whatever is no cursor is the caller's mistake, never ours."""
    with pytest.raises(RequestValidationError):
        cursors.decode(text, Position, "cpu")


BEGIN = "2026-01-01T00:00:00Z"
HOUR = ["raw", BEGIN, "2026-01-01T01:00:00Z", "2026-01-01T00:30:00Z"]


@pytest.mark.parametrize(
    "forged",
    [
        ["raw", "2026-01-01T00:00:00", BEGIN, BEGIN],
        ["raw", BEGIN, BEGIN, "2026-01-02T00:00:00Z"],
        ["raw", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z"],
        ["2h", *HOUR[1:]],
        [*HOUR, 2**63],
        [*HOUR, 1, "one"],
        [*HOUR, 1, None, None, "\0"],
        [*HOUR, 1, 0.5, None, None, -1],
        [*HOUR, 1, 0.5, None, None, 2**31],
        [],
    ],
)
def test_a_forged_position_is_refused(forged: list[object]) -> None:
    """A cursor whose digest fits still holds nothing that a query could choke on."""
    text = cursors.encode(cast("Position", forged), "cpu")
    with pytest.raises(RequestValidationError):
        cursors.decode(text, Position, "cpu")
