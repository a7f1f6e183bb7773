"""The accepted window of event time: a stray clock must not make a partition in the year 2106."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Window:
    """How far a sample's time may lie from now. A point of a run import may be of any age since 2000."""

    past: timedelta
    future: timedelta

    def bounds(self, now: int, *, imported: bool = False) -> tuple[int, int]:
        """Earliest and latest accepted microseconds since the epoch, both inclusive."""
        oldest = 946_684_800_000_000 if imported else now - self.past // timedelta(microseconds=1)
        return oldest, now + self.future // timedelta(microseconds=1)
