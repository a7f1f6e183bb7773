"""How far event time goes by what sources and the clock say."""

from schemas.batches import Source
from schemas.watched import Header
from stream.core.lateness import Lateness, Watermark

SECOND = 1_000_000
LATENESS = Lateness(idle=2 * SECOND, allowance=3 * SECOND)


def hear(watermark: Watermark, source: int, newest: int, now: int) -> None:
    """A record whose newest event time is that."""
    header = Header(Source("s", source), 1, newest, newest + 1, newest)
    assert watermark.hear(header, now)
    watermark.advance(now)


def test_after_an_outage_who_was_awake_before_it_is_waited_for() -> None:
    """One that comes back first does not outrun the other; one that stays away is given up in the end."""
    watermark = Watermark(LATENESS)
    for source in (0, 1):
        hear(watermark, source, 100 * SECOND, 100 * SECOND)
    watermark.excuse(101 * SECOND, 150 * SECOND)
    hear(watermark, 0, 139 * SECOND, 140 * SECOND)
    assert watermark.at == 100 * SECOND
    hear(watermark, 1, 120 * SECOND, 141 * SECOND)
    assert watermark.at == 120 * SECOND
    watermark.advance(151 * SECOND)
    assert watermark.at == 148 * SECOND


def test_who_was_idle_before_an_outage_is_not_waited_for() -> None:
    """It was silent for a reason of its own."""
    watermark = Watermark(LATENESS)
    hear(watermark, 1, 90 * SECOND, 90 * SECOND)
    hear(watermark, 0, 100 * SECOND, 100 * SECOND)
    watermark.excuse(101 * SECOND, 150 * SECOND)
    hear(watermark, 0, 139 * SECOND, 140 * SECOND)
    assert watermark.at == 139 * SECOND
