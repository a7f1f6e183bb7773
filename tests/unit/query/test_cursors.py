"""Opaque cursors."""

from datetime import UTC, datetime
from typing import cast

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from query import cursors
from query.parameters import EARLIEST, LATEST
from query.samples import Position

MOMENTS = st.datetimes(
    EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC)
)


@given(
    st.lists(MOMENTS, min_size=3, max_size=3).map(sorted),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**31 - 1),
)
def test_a_cursor_leads_back_to_its_position(
    times: list[datetime], series_id: int, seen: int
) -> None:
    """Every position survives, to the microsecond, under its own request only."""
    start, at, end = times
    position = Position(start, end, at, series_id, seen)
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


@pytest.mark.parametrize(
    "forged",
    [
        ["2026-01-01T00:00:00", "2026-01-01T00:00:00", "2026-01-01T00:00:00", 1, 1],
        ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z", 1, 1],
        ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", 1, 1],
        ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 2**63, 1],
        ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 1, -1],
        [],
    ],
)
def test_a_forged_position_is_refused(forged: list[object]) -> None:
    """A cursor whose digest fits still holds nothing that a query could choke on."""
    text = cursors.encode(cast("Position", forged), "cpu")
    with pytest.raises(RequestValidationError):
        cursors.decode(text, Position, "cpu")
