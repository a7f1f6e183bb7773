"""Decides what a question is read from: the coarsest source that answers it exactly.

A rollup answers whole buckets of its own. What juts out of them at either end of the asked range is
read from finer sources, down to raw samples. Where those are no longer kept, the range is rounded
out to what is, and the answer says so by its own start, end and bucket.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from query.freshness import Level
from query.parameters import EARLIEST, TimeRange
from schemas.lifecycle import LifecyclePolicy

Resolution = Literal["raw", "1m", "5m", "1h"]
"""Raw samples, or a rollup."""

WIDTHS: dict[Level, timedelta] = {
    "raw": timedelta(microseconds=1),
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
    "sketch_1h": timedelta(hours=1),
}
"""Of a bucket; of raw samples, the clock's tick."""

LONGEST_EXACT_PERCENTILES = timedelta(hours=12)
"""Range of a sketched metric up to which its percentiles are still read from raw samples."""

_FINEST_FIRST: tuple[Resolution, ...] = ("raw", "1m", "5m", "1h")
_OF_EDGES: tuple[Resolution, ...] = ("1m", "raw")

Kept = Mapping[Level, datetime]
"""From when on each source has all that there is."""


@dataclass(frozen=True)
class Retention:
    """How long each source is kept."""

    raw: timedelta = timedelta(days=30)
    minutes: timedelta = timedelta(days=365)
    five_minutes: timedelta = timedelta(days=730)
    hours: timedelta = timedelta(days=1825)

    @classmethod
    def of(cls, policy: LifecyclePolicy) -> "Retention":
        """The retention that maintenance keeps to."""
        return cls(*(policy.keeping(level).retention for level in _FINEST_FIRST))

    def kept(self, now: datetime, days: int | None) -> Kept:
        """What is kept at this time of a metric whose definition says so many days of raw samples.

        With fewer days than the rest it loses its rollups too: every source then has the same.
        """
        raw = max(self.raw, timedelta(days=days or 0))
        return {
            "raw": now - raw,
            "1m": now - self.minutes,
            "5m": now - self.five_minutes,
            "1h": now - self.hours,
            "sketch_1h": now - self.hours,
        }


@dataclass(frozen=True)
class Piece:
    """A time to read from one source."""

    level: Level
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Degradation:
    """Why an answer is coarser than what was asked for."""

    degraded_from: Level
    degraded_to: Level
    reason: str


@dataclass(frozen=True)
class Route:
    """What to read for a range, in buckets aligned to the epoch; without a bucket, all in one.

    `level` is the coarsest of the pieces, which touch and cover `asked`.
    """

    asked: TimeRange
    bucket: timedelta | None
    level: Level
    pieces: tuple[Piece, ...]
    degradation: Degradation | None = None

    @property
    def grid(self) -> tuple[timedelta, datetime]:
        """Width of a bucket, and where one begins."""
        if self.bucket is None:
            return self.asked.end - self.asked.start, self.asked.start
        return self.bucket, EARLIEST


def numbers(asked: TimeRange, bucket: timedelta | None, kept: Kept) -> Route:
    """The route of count, avg, min, max and sum."""
    available = _available(asked.start, kept)
    degradation = None
    if bucket is not None and bucket % WIDTHS[available[0]]:
        bucket = up(bucket, WIDTHS[available[0]])
        degradation = gone("raw", available[0], kept)
    start = floor(asked.start, available[0])
    latest = _available(asked.end, kept)
    end = ceiling(asked.end, latest[0])
    fitting = [one for one in available if bucket is None or not bucket % WIDTHS[one]]
    level = next(
        (one for one in reversed(fitting) if ceiling(start, one) < floor(end, one)), fitting[0]
    )
    ladder = [level, *_finer(level, available)]
    lower, upper = ceiling(start, level), floor(end, level)
    if lower >= upper:
        pieces = _cover(start, end, ladder)
    else:
        pieces = (
            *_cover(start, lower, ladder),
            Piece(level, lower, upper),
            *_cover(upper, end, [level, *_finer(level, latest)]),
        )
    return Route(TimeRange(start, end), bucket, level, pieces, degradation)


def percentiles(asked: TimeRange, bucket: timedelta | None, kept: Kept, *, sketched: bool) -> Route:
    """The route of percentiles: exact from raw samples, or within 1 % from sketches of hours.

    Samples that are gone, of a metric without sketches, are missing: the degradation says it.
    """
    is_kept = asked.start >= kept["raw"]
    hour = WIDTHS["sketch_1h"]
    short = asked.end - asked.start <= LONGEST_EXACT_PERCENTILES
    if is_kept and (short or not sketched or (bucket is not None and bucket % hour)):
        return from_raw(asked, bucket)
    if not sketched:
        lost = Degradation(
            "raw",
            "raw",
            f"raw samples from before {kept['raw'].isoformat()} are gone, and there are no sketches of "
            "this metric: define it as a histogram or a summary to have them from now on",
        )
        return Route(asked, bucket, "raw", (Piece("raw", asked.start, asked.end),), lost)
    degradation = None
    if not is_kept and bucket is not None and bucket % hour:
        bucket, degradation = up(bucket, hour), gone("raw", "sketch_1h", kept)
    start = asked.start if is_kept else floor(asked.start, "sketch_1h")
    end = asked.end if asked.end - hour >= kept["raw"] else ceiling(asked.end, "sketch_1h")
    pieces = _cover(start, end, ["sketch_1h", "raw"])
    level: Level = "sketch_1h" if any(p.level == "sketch_1h" for p in pieces) else "raw"
    return Route(TimeRange(start, end), bucket, level, pieces, degradation)


def from_raw(asked: TimeRange, bucket: timedelta | None) -> Route:
    """The route that reads nothing but raw samples."""
    return Route(asked, bucket, "raw", (Piece("raw", asked.start, asked.end),))


def estimates(asked: TimeRange, bucket: timedelta | None, kept: Kept) -> Route:
    """The route of a rate that is estimated from rollups: whole buckets of one level."""
    available = [one for one in _available(asked.start, kept) if one != "raw"] or ["1h"]
    if bucket is not None:
        bucket = up(bucket, WIDTHS[available[0]])
    level = next(one for one in reversed(available) if bucket is None or not bucket % WIDTHS[one])
    piece = Piece(level, floor(asked.start, level), ceiling(asked.end, level))
    return Route(TimeRange(piece.start, piece.end), bucket, level, (piece,))


def whole(piece: Piece) -> Route:
    """The route that takes a piece as one bucket."""
    return Route(TimeRange(piece.start, piece.end), None, piece.level, (piece,))


def points(start: datetime, level: Resolution, kept: Kept) -> Resolution:
    """The source of points from `start` on: the one that is asked for, or the finest that is left."""
    wide = [one for one in _available(start, kept) if WIDTHS[one] >= WIDTHS[level]]
    return wide[0] if wide else "1h"


def gone(asked: Level, found: Level, kept: Kept) -> Degradation:
    """The degradation from a source that is no longer kept at the start of the range."""
    return Degradation(asked, found, f"{asked} is kept from {kept[asked].isoformat()} on")


def floor(moment: datetime, level: Level) -> datetime:
    """Begin of the level's bucket that holds a moment."""
    width = WIDTHS[level]
    return EARLIEST + (moment - EARLIEST) // width * width


def ceiling(moment: datetime, level: Level) -> datetime:
    """First begin of a bucket of the level at or after a moment."""
    width = WIDTHS[level]
    return EARLIEST - (EARLIEST - moment) // width * width


def up(bucket: timedelta, width: timedelta) -> timedelta:
    """The narrowest bucket, not narrower than this one, that buckets of `width` fill."""
    return -(-bucket // width) * width


def _available(moment: datetime, kept: Kept) -> list[Resolution]:
    return [one for one in _FINEST_FIRST if moment >= kept[one]] or ["1h"]


def _finer(level: Resolution, available: Sequence[Resolution]) -> list[Resolution]:
    narrower = [one for one in available if WIDTHS[one] < WIDTHS[level]]
    # Five-minute buckets would save little at an edge of minutes, at the price of one query more.
    return [one for one in _OF_EDGES if one in narrower] or narrower[:1]


def _cover(start: datetime, end: datetime, levels: Sequence[Level]) -> tuple[Piece, ...]:
    """Pieces of [start, end), the coarsest first in turn; the last level's grid fits both ends."""
    if start >= end:
        return ()
    for index, level in enumerate(levels):
        lower, upper = ceiling(start, level), floor(end, level)
        if lower < upper:
            finer = levels[index + 1 :]
            return (
                *_cover(start, lower, finer),
                Piece(level, lower, upper),
                *_cover(upper, end, finer),
            )
    return (Piece(levels[-1], start, end),)
