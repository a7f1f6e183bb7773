"""How far back to look at once: windows of time that grow while little is found, and shrink at too much.

The barrier of the tenant views keeps ORDER BY … LIMIT from walking an index backwards, but lets a
bound on time through. So the newest rows are sought in windows, each of which may read `MOST_ROWS`:
a page costs a few times its own rows, whatever lies in the range that was asked for.
"""

from datetime import datetime, timedelta

MOST_ROWS = 40_000
"""That one window may hold: twice the largest page and more, sorted in tens of milliseconds."""

_FIRST = timedelta(minutes=5)
_GROWTH = 4
_SHRINKAGE = 8
_NARROWEST = timedelta(microseconds=1)
_ANY_NUMBER = 2**62


class Lookback:
    """Windows that cover [start, end) from its end to its start, each seen once.

    `begin` and `until` are the window to look at now, while `left` holds; the first has this width.
    """

    def __init__(self, start: datetime, end: datetime, width: timedelta = _FIRST) -> None:
        self._start = start
        self._width = width
        self.until = end
        self.begin = self._reach()

    @property
    def left(self) -> bool:
        """Whether there is time left to look at."""
        return self.until > self._start

    @property
    def most_rows(self) -> int:
        """What the window may hold; anything, when it is one tick of the clock and can't be narrowed."""
        return MOST_ROWS if self.until - self.begin > _NARROWEST else _ANY_NUMBER

    def narrow(self) -> None:
        """Take only the newest part of the window: it held too much."""
        self._width = max((self.until - self.begin) / _SHRINKAGE, _NARROWEST)
        self.begin = self._reach()

    def move_on(self) -> None:
        """Go back to the window before, a wider one."""
        self._width = (self.until - self.begin) * _GROWTH
        self.until = self.begin
        self.begin = self._reach()

    def _reach(self) -> datetime:
        # Compared as lengths: subtracting a wide window could leave the calendar.
        return self.until - self._width if self.until - self._start > self._width else self._start
