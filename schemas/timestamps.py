"""Timestamps of an envelope to microseconds since the epoch, a column at a time.

A sample's timestamp is RFC 3339 with a zone and up to nine digits of a second, epoch milliseconds, or
absent (then the record's time stands for it).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

UNREADABLE = np.iinfo(np.int64).min
"""Stands in the column for a timestamp that can't be read."""

Stamp = str | int | float | None

_NANOSECONDS = pa.timestamp("ns", "UTC")


def uniform(stamps: Sequence[Stamp]) -> NDArray[np.int64] | None:
    """Microseconds since the epoch when all stamps are readable and of one kind, else None."""
    first = stamps[0] if stamps else None
    try:
        if type(first) is str:
            texts = pa.array(stamps, pa.string())
            if texts.null_count == 0:
                # Nanoseconds, because Go's clients write them; a cast to microseconds refuses those.
                return np.asarray(texts.cast(_NANOSECONDS).cast(pa.int64())) // 1000
        elif type(first) is int:
            numbers = pa.array(stamps, pa.int64())
            if numbers.null_count == 0:
                return np.asarray(pc.multiply_checked(numbers, pa.scalar(1000)))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    return None


def column(stamps: Sequence[Stamp], absent: int) -> NDArray[np.int64]:
    """Microseconds since the epoch; `absent` (microseconds) where there is none, UNREADABLE where it is bad."""
    found = uniform(stamps)
    if found is not None:
        return found
    return np.array([_one(stamp, absent) for stamp in stamps], np.int64)


def _one(stamp: Stamp, absent: int) -> int:
    if stamp is None:
        return absent
    try:
        if isinstance(stamp, str):
            moment = datetime.fromisoformat(stamp)
            if moment.tzinfo is None:
                return UNREADABLE
            # Integer arithmetic: a float of seconds loses microseconds in this century.
            delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
            return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        micros = round(stamp * 1000)
    except (ValueError, OverflowError):
        return UNREADABLE
    return micros if abs(micros) < -UNREADABLE else UNREADABLE


def as_text(micros: int) -> str:
    """RFC 3339 for people; the bare number where no calendar has such a date."""
    try:
        return datetime.fromtimestamp(micros / 1e6, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{micros} µs since 1970"
