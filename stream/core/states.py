"""What the alerts process remembers, as `alerts.states.v1` has it: alerts, and how far it is.

Keys are those of alerts (`Transition.key`), and CHECKPOINT once a partition.
"""

import msgspec
from pydantic import BaseModel, ConfigDict

from schemas.transitions import Transition
from stream.core.lateness import Heard

CHECKPOINT = b"checkpoint"


class AlertState(BaseModel):
    """An alert that is pending or firing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last: Transition
    """Its newest transition."""
    target: dict[str, str]
    """Labels of its series, or the values that it is grouped by."""
    metric: str
    group_by: tuple[str, ...] | None
    since: int
    """Slot at which the condition began to hold."""
    good: int | None = None
    """Slot since which it holds no longer, while it is kept firing."""

    @property
    def firing(self) -> bool:
        """Whether it fires; otherwise it is pending."""
        return self.last.state == "firing"


class Checkpoint(msgspec.Struct, array_like=True):
    """How far a partition is."""

    commit: int
    """Counts the transactions of the partition."""
    offset: int
    """Next record to read from the watched topic."""
    slot: int | None
    """Newest slot that is evaluated."""
    at: int | None
    """The watermark, in microseconds."""
    sources: list[Heard]


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The record's value."""
    return _encode(checkpoint)


def decode_checkpoint(value: bytes) -> Checkpoint:
    """Read it. Raises msgspec.DecodeError."""
    return _decode(value)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Checkpoint).decode
