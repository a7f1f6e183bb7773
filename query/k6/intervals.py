"""Decides how wide the steps of a series are, and how much of each some run covers."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate

import numpy as np

from query.parameters import EARLIEST, TimeRange

SECOND = timedelta(seconds=1)
DEFAULT_POINTS = 300
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds, as the axes of charts have them."""

Spans = Sequence[tuple[datetime, datetime]]


def width(asked: TimeRange, most: int) -> timedelta:
    """The narrowest of the usual widths that makes at most so many intervals, of the epoch's, of the range."""
    for seconds in _WIDTHS:
        # One more than fit: the range need not begin where an interval does.
        if (asked.end - asked.start) // (seconds * SECOND) + 2 <= most:
            return seconds * SECOND
    return _WIDTHS[-1] * SECOND


def hull(asked: TimeRange, spans: Spans) -> TimeRange:
    """Whole seconds of what is asked for that lie between the first start and the last end of a run."""
    first = min((start for start, _ in spans), default=asked.start)
    last = max((end for _, end in spans), default=asked.end)
    start, end = max(asked.start, first), min(asked.end, last)
    return TimeRange(_floor(start), max(_ceiling(end), _floor(start) + SECOND))


def covered(
    at: Sequence[datetime], width: timedelta, asked: TimeRange, spans: Spans
) -> list[float]:
    """Seconds of each interval that lie in the range and in which some run went on.

    A rate is divided by them: by the whole width, the first and last interval of a run would sag. At
    least 1, for points may be stamped by another clock than the run.
    """
    edges, seconds = [asked.start.timestamp()], [0.0]
    for start, end in _united((max(a, asked.start), min(b, asked.end)) for a, b in spans):
        edges += [start.timestamp(), end.timestamp()]
        seconds += [0.0, (end - start).total_seconds()]
    upto = list(accumulate(seconds))
    begin = np.array([one.timestamp() for one in at])
    within = np.interp(begin + width.total_seconds(), edges, upto) - np.interp(begin, edges, upto)
    covered: list[float] = np.maximum(within, 1.0).tolist()
    return covered


def _united(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    united: list[tuple[datetime, datetime]] = []
    for start, end in sorted((_floor(a), _ceiling(b)) for a, b in spans if a < b):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united


def _floor(moment: datetime) -> datetime:
    return moment - (moment - EARLIEST) % SECOND


def _ceiling(moment: datetime) -> datetime:
    return moment + (EARLIEST - moment) % SECOND
