"""What each published record says of the source: the consumer's whole memory, in a header.

Every envelope of a run carries the run's state behind it, so the last one in Kafka tells where to go on.
"""

from typing import Any

import msgspec

SOURCE_HEADER = "headrace-k6-source"

Positions = dict[int, int]
"""Source partition to the offset behind the last message that a run has taken from it."""


class Mark(msgspec.Struct, frozen=True):
    """Of a started event, an envelope or a finished event. `latest` is the latest point's, epoch seconds."""

    group: str
    """The consumer's; another one reads the topic anew, as runs of its own."""
    tag: str
    """Value of the run tag that the run was made for; empty without."""
    partition: int
    """Of the samples topic: the run's envelopes are all there."""
    next: Positions
    first: float
    latest: float
    points: int = 0
    metrics: dict[str, str] = {}

    def header(self) -> tuple[str, bytes]:
        """As a record carries it."""
        return SOURCE_HEADER, msgspec.json.encode(self)


_decode = msgspec.json.Decoder(Mark).decode


def marked(headers: Any) -> Mark | None:
    """The mark among a record's headers. Raises `msgspec.DecodeError` for one of another version."""
    return next((_decode(value) for key, value in headers if key == SOURCE_HEADER), None)
