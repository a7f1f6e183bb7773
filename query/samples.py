"""Reads samples of a metric: pages from the newest on, the latest of each series, buckets."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from query import cursors
from query.database import Reading, Rows
from query.parameters import EARLIEST, LATEST, Aggregation, TimeRange
from query.problems import bad_parameter
from query.windows import Lookback

MAX_SERIES = 10_000
"""In one request; a wider one says which parameter narrows it."""

Labels = dict[str, str]
Value = float | bool | str

_decode_labels = msgspec.json.Decoder(Labels).decode
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_MICROSECOND = timedelta(microseconds=1)


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a page of [start, end) ended: after `seen` samples of this series at this time."""

    start: cursors.Moment
    end: cursors.Moment
    at: cursors.Moment
    series_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    seen: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]

    def __post_init__(self) -> None:
        if not EARLIEST <= self.start <= self.at <= self.end <= LATEST:
            raise ValueError("no page ends there")

    @classmethod
    def before_all(cls, asked: TimeRange) -> "Position":
        """Where the first page begins."""
        return cls(asked.start, asked.end, asked.end, 0, 0)


async def find_series(reading: Reading, name: str, labels: Labels) -> dict[int, Labels]:
    """Labels by series id, of the metric's series that have these labels."""
    text = msgspec.json.encode(labels).decode()
    rows = await reading.rows("find_series", name, text, MAX_SERIES + 1)
    if len(rows) > MAX_SERIES:
        raise bad_parameter("label", f"must narrow {name!r} to at most {MAX_SERIES} series")
    return {row["series_id"]: _decode_labels(row["labels"]) for row in rows}


async def page(
    reading: Reading, series: Iterable[int], after: Position, limit: int
) -> tuple[Rows, Position | None]:
    """At most `limit` rows of `page_samples` that follow a position, the newest first.

    The second value is where they end, or None when no more follow.
    """
    ids = list(series)
    rows: list[Any] = []
    skip = after.seen
    back = Lookback(after.start, min(after.at + _MICROSECOND, after.end))
    while back.left:
        most = back.most_rows + skip
        found = await reading.rows(
            "page_samples",
            ids,
            back.begin,
            back.until,
            after.at,
            after.series_id,
            skip,
            limit + 1 - len(rows),
            most,
        )
        if _too_many(found, most):
            back.narrow()
            continue
        rows += found
        if len(rows) > limit:
            return rows[:limit], _end(rows[:limit], after)
        back.move_on()
        skip = 0  # they were all in the window behind us
    return rows, None


def _too_many(found: Rows, most: int) -> bool:
    return bool(found) and found[0]["chosen_from"] > most


def _end(rows: Rows, after: Position) -> Position:
    # Nothing forbids two samples of a series at one time: a position counts those it has passed.
    keys = [(row["ts"], row["series_id"]) for row in rows]
    at, series_id = keys[-1]
    seen = keys.count(keys[-1])
    if (after.at, after.series_id) == keys[-1]:
        seen += after.seen
    return Position(after.start, after.end, at, series_id, seen)


async def latest(reading: Reading, series: Iterable[int], now: datetime) -> Rows:
    """The newest row of each series that has one, however old."""
    missing = set(series)
    rows: list[Any] = []
    # Clocks of producers may run ahead of ours: not far, so all the future is one window.
    for back in (Lookback(now, LATEST, LATEST - now), Lookback(EARLIEST, now)):
        while missing and back.left:
            most = back.most_rows
            found = await reading.rows(
                "latest_samples", sorted(missing), back.begin, back.until, most
            )
            if _too_many(found, most):
                back.narrow()
                continue
            rows += found
            missing -= {row["series_id"] for row in found}
            back.move_on()
    return sorted(rows, key=lambda row: int(row["series_id"]))


async def buckets(
    reading: Reading,
    series: Iterable[int],
    asked: TimeRange,
    bucket: timedelta,
    aggregation: Aggregation,
) -> list[tuple[datetime, int, float]]:
    """Start, count and value of each bucket that holds a number, over all the series together."""
    ids = list(series)
    quantile = _PERCENTILES.get(aggregation)
    if quantile is not None:
        rows = await reading.rows(
            "bucket_percentile", ids, asked.start, asked.end, bucket, quantile
        )
        return [(row["bucket"], row["n"], row["percentile"]) for row in rows]
    rows = await reading.rows("bucket_numbers", ids, asked.start, asked.end, bucket)
    column = "n" if aggregation == "count" else aggregation
    return [(row["bucket"], row["n"], float(row[column])) for row in rows]


def value_of(row: Any) -> Value:
    """What was measured: the number, boolean or text of a row."""
    number, truth, text = row["v_num"], row["v_bool"], row["v_text"]
    value: Value = number if number is not None else truth if truth is not None else text or ""
    return value
