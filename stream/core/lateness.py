"""Knows how far event time is: the watermark over the sources of one partition of the watched topic.

It is the least of the newest event times of the sources that are heard. One that is silent for a while
is idle and holds up nobody; when all are, the clock moves it on, some seconds behind.
"""

from dataclasses import dataclass

import msgspec

from schemas.batches import Source
from schemas.watched import Header, Place


@dataclass(frozen=True)
class Lateness:
    """What is waited for. Times are in microseconds."""

    idle: int = 2_000_000
    """Silence by the clock after which a source is not waited for."""
    allowance: int = 3_000_000
    """How far behind the clock event time goes when all sources are idle: the way of a sample to here."""
    allowed: int = 0
    """Slots that an evaluation waits beyond the watermark for samples that are late."""


class Heard(msgspec.Struct, array_like=True):
    """What is known of a source."""

    topic: str
    partition: int
    place: tuple[int, int, int]
    newest: int | None


class Watermark:
    """Follows the sources. `now` is the clock's time in microseconds, whenever it is given."""

    def __init__(self, lateness: Lateness) -> None:
        self._lateness = lateness
        self._places: dict[Source, Place] = {}
        self._newest: dict[Source, int] = {}
        self._heard: dict[Source, int] = {}
        self.at: int | None = None
        """Event time in microseconds; it never goes back."""

    def hear(self, header: Header, now: int) -> bool:
        """Take a record in; whether it is new."""
        source = header.source
        if source in self._places and header.place <= self._places[source]:
            return False
        self._places[source] = header.place
        self._heard[source] = now
        if header.newest is not None:
            self._newest[source] = max(header.newest, self._newest.get(source, header.newest))
        return True

    def advance(self, now: int) -> None:
        """Go as far as sources and clock allow."""
        awake = [
            newest
            for source, newest in self._newest.items()
            if now - self._heard[source] < self._lateness.idle
        ]
        reached = min(awake) if awake else now - self._lateness.allowance
        self.at = reached if self.at is None else max(self.at, reached)

    def excuse(self, since: int, until: int) -> None:
        """Wait for sources that were not idle at `since` as if they were heard at `until`."""
        for source, heard in self._heard.items():
            if since - heard < self._lateness.idle:
                self._heard[source] = max(heard, until)

    def stored(self) -> list[Heard]:
        """What to remember, for `restore`."""
        return [
            Heard(*source, (place.epoch, place.start, place.part), self._newest.get(source))
            for source, place in sorted(self._places.items())
        ]

    def restore(self, heard: list[Heard], now: int) -> None:
        """Go on where another ended; its sources are waited for as if just heard."""
        for one in heard:
            source = Source(one.topic, one.partition)
            self._places[source] = Place(*one.place)
            self._heard[source] = now
            if one.newest is not None:
                self._newest[source] = one.newest
