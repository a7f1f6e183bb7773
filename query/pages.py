"""Pages of raw samples and of rollups, from the newest on, with a cursor that writes don't disturb."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from query import cursors
from query.database import Reading, Rows
from query.parameters import EARLIEST, LATEST, TimeRange
from query.routing import WIDTHS, Resolution
from query.windows import Lookback

_FIRST: dict[Resolution, timedelta] = {
    "raw": timedelta(minutes=5),
    "1m": timedelta(hours=1),
    "5m": timedelta(hours=5),
    "1h": timedelta(days=2.5),
}
"""The window that is looked at first: sixty buckets."""


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a page of [start, end) ended: at a row, not at a number of rows.

    Of one series at one time, samples are in the order of number, truth, digest of the text: `seen` of
    the last one's value have been shown. Whatever is stored meanwhile stands before it or after it.
    """

    level: Resolution
    start: cursors.Moment
    end: cursors.Moment
    at: cursors.Moment
    series_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    number: float | None = None
    truth: bool | None = None
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")] | None = None
    seen: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0

    def __post_init__(self) -> None:
        if not EARLIEST <= self.start <= self.at <= self.end <= LATEST:
            raise ValueError("no page ends there")

    @classmethod
    def before_all(cls, level: Resolution, asked: TimeRange) -> "Position":
        """Where the first page begins."""
        return cls(level, asked.start, asked.end, asked.end)


async def page(
    reading: Reading, series: Iterable[int], after: Position, limit: int
) -> tuple[Rows, Position | None]:
    """At most `limit` rows that follow a position, the newest first.

    The second value is where they end, or None when no more follow.
    """
    ids = list(series)
    if not ids:
        return [], None
    rows: list[Any] = []
    tick = WIDTHS["raw"]
    # The very time of the position by itself: of a crowd there, all must be seen to skip the right ones.
    of_position = Lookback(after.at, min(after.at + tick, after.end), tick)
    before = Lookback(after.start, after.at, _FIRST[after.level])
    for back in (of_position, before):
        while back.left:
            most = back.most_rows
            window = (ids, back.begin, back.until, after.at, after.series_id)
            found = await _rows(reading, after, *window, limit + 1 - len(rows), most)
            if found and found[0]["chosen_from"] > most:
                back.narrow()
                continue
            rows += found
            if len(rows) > limit:
                return rows[:limit], _end(rows[:limit], after)
            back.move_on()
    return rows, None


async def _rows(reading: Reading, after: Position, *window: object) -> Rows:
    if after.level != "raw":
        return await reading.rows(f"page_{after.level}", *window)
    value = (after.number, after.truth, after.digest, after.seen)
    return await reading.rows("page_samples", *window, *value)


def _end(rows: Rows, after: Position) -> Position:
    last = rows[-1]
    if after.level != "raw":
        return Position(after.level, after.start, after.end, last["ts"], last["series_id"])
    key = _key(last)
    seen = sum(1 for row in rows if _key(row) == key)
    if key == (after.at, after.series_id, after.number, after.truth, after.digest):
        seen += after.seen
    at, series_id, number, truth, digest = key
    return Position("raw", after.start, after.end, at, series_id, number, truth, digest, seen)


def _key(row: Any) -> tuple[datetime, int, float | None, bool | None, str | None]:
    return row["ts"], row["series_id"], row["v_num"], row["v_bool"], row["digest"]
