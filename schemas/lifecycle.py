"""How long each level of the samples is kept, when it is compressed and refreshed; and alerts after their end."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

RollupLevel = Literal["1m", "5m", "1h"]
Level = Literal["raw", "1m", "5m", "1h", "sketch"]
Record = Literal["alerts", "remediations"]

_SKETCH_STEP = timedelta(minutes=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WIDTHS: dict[RollupLevel, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "1h": timedelta(hours=1),
}


@dataclass(frozen=True)
class Refresh:
    """Buckets that began at most `window` ago and ended at least `lag` ago are refreshed, `every` so often."""

    every: timedelta
    window: timedelta
    lag: timedelta


@dataclass(frozen=True)
class Keeping:
    """A level is compressed (PostgreSQL: sorted) after the one time and dropped after the other."""

    compress_after: timedelta
    retention: timedelta


@dataclass(frozen=True)
class LifecyclePolicy:
    """What becomes of samples and rollups with age."""

    raw: Keeping
    rollups: dict[RollupLevel, Keeping]
    refreshes: dict[RollupLevel, Refresh]
    records: dict[Record, timedelta]
    """How long what ended is kept, from its end on."""

    def keeping(self, level: Level) -> Keeping:
        """How long a level is kept; sketches go with the hourly rollup."""
        if level == "raw":
            return self.raw
        return self.rollups["1h" if level == "sketch" else level]

    def window(self, level: RollupLevel) -> timedelta:
        """The refresh window, within what the level's source keeps for all series."""
        return min(self.refreshes[level].window, self.refreshable(level))

    def refreshable(self, level: RollupLevel) -> timedelta:
        """How far back a level can be computed anew.

        Refreshing what the source has dropped would empty the rollup there; an hour less, because a
        part may be dropped while a refresh is under way.
        """
        kept = {
            "1m": self.raw.retention,
            "5m": self.rollups["1m"].retention,
            "1h": self.rollups["5m"].retention,
        }
        return kept[level] - timedelta(hours=1)

    def closed(self, level: RollupLevel, now: datetime) -> datetime:
        """Where the level's open buckets begin: everything before has ended `lag` ago."""
        return floor(now - self.refreshes[level].lag, WIDTHS[level])

    def sketched(self, now: datetime) -> datetime:
        """Where the samples begin that no sketch holds yet; that of the open hour grows by steps.

        Readers take the rest from raw samples: by the hour they would read more of those in the last
        hour or two than sketches in the month before.
        """
        return floor(now - self.refreshes["1m"].lag, _SKETCH_STEP)


def floor(moment: datetime, width: timedelta) -> datetime:
    """The start of the bucket that a moment lies in; buckets are counted from 1970 in UTC."""
    return moment - (moment - _EPOCH) % width
