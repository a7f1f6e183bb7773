"""Turns messages of the source topic into items: a point, or what is wrong with it, and when it happened."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol, get_args

import msgspec

from producers.k6.source.influx import InfluxLines
from schemas.envelopes import UNREADABLE, readable
from schemas.errors import Invalid
from schemas.k6 import Point, decode_point, decode_points

Format = Literal["json", "influx"]
FORMATS = get_args(Format)

END_HEADER = "headrace-end"
"""Marks a message that ends runs instead of carrying a point; see EndMarker."""

_OLDEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_AHEAD = 600.0
"""Seconds that a point may be ahead of our clock: it must not hold a run open until 2106."""


class EndMarker(msgspec.Struct, frozen=True):
    """One call of `headrace k6 end`, written to each partition. Without `tag` all open runs end."""

    id: str
    tag: str | None = None


class Message(Protocol):
    """What of a consumed record is read; `timestamp` is in epoch milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Item(NamedTuple):
    """A message that was read. `moment` is the point's own time where it has one, in epoch seconds."""

    moment: float
    message: Message
    content: Point | EndMarker | Invalid


_decode_marker = msgspec.json.Decoder(EndMarker).decode


class Reader:
    """Reads messages of one format."""

    def __init__(self, format: Format) -> None:  # noqa: A002 # the word that users know it by
        self._influx = InfluxLines() if format == "influx" else None

    def read(self, messages: Sequence[Message], now: float) -> list[Item]:
        """An item for each message. `now` is in epoch seconds."""
        return [
            _item(message, content, now)
            for message, content in zip(messages, self._contents(messages), strict=True)
        ]

    def _contents(self, messages: Sequence[Message]) -> Iterable[Point | EndMarker | Invalid]:
        if self._influx is None:
            # One call for all: four times as fast as one for each.
            values = [message.value or b"" for message in messages]
            try:
                points = decode_points(b"\n".join(values))
            except UNREADABLE:
                points = []
            if len(points) == len(messages) and not any(b"\n" in value for value in values):
                return points
        return [self._content(message) for message in messages]

    def _content(self, message: Message) -> Point | EndMarker | Invalid:
        try:
            for key, value in message.headers:
                if key == END_HEADER:
                    return _decode_marker(value)
            if self._influx is not None:
                return self._influx.read(message.value or b"", message.timestamp)
            return decode_point(message.value or b"")
        except UNREADABLE as error:
            return Invalid("bad_json", readable(error))
        except Invalid as invalid:
            return invalid


def _item(message: Message, content: Point | EndMarker | Invalid, now: float) -> Item:
    moment = message.timestamp / 1000
    if isinstance(content, Point):
        try:
            at = datetime.fromisoformat(content.data.time)
        except ValueError as error:
            return Item(moment, message, Invalid("bad_timestamp", str(error)))
        if at.tzinfo is None:
            return Item(moment, message, Invalid("bad_timestamp", "the time has no zone"))
        moment_of_point = at.timestamp()
        if not _OLDEST <= moment_of_point <= now + _AHEAD:
            side = "too_old" if moment_of_point < _OLDEST else "too_far_ahead"
            return Item(moment, message, Invalid(side, f"the point's time is {content.data.time}"))
        moment = moment_of_point
    return Item(moment, message, content)
