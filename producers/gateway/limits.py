"""What one gateway accepts, and the bytes it may hold at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.errors import Temporary
from schemas.samples import MAX_SAMPLES


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    samples: int = MAX_SAMPLES
    body: int = 8 * 1024 * 1024
    """Of a request, unpacked: 10,000 samples of 800 bytes."""
    held: int = 64 * 1024 * 1024
    """Of all bodies being read and all records that Kafka has not acknowledged."""
    acknowledge: float = 5.0
    """For the broker's acknowledgement; within the grace that a stopping process has."""
    envelope: int = 1000
    """Samples in one record: as ingest likes them, and few records for a large request."""
    default_source: str = "http"
    """Source of samples that name none."""


class Held:
    """Counts the bytes that one request or record holds, out of a shared budget."""

    def __init__(self, budget: "Budget") -> None:
        self._budget = budget
        self.size = 0

    def take(self, size: int) -> None:
        """Hold more. Raises Temporary when the gateway holds all it may."""
        budget = self._budget
        if budget.used + size > budget.capacity:
            raise Temporary("The gateway is full: Kafka acknowledges more slowly than you send.")
        budget.used += size
        self.size += size

    def keep(self) -> "Held":
        """What is held, to be released by another than the block that took it."""
        kept = Held(self._budget)
        kept.size, self.size = self.size, 0
        return kept

    def release(self) -> None:
        """Hold nothing."""
        self._budget.used -= self.size
        self.size = 0


class Budget:
    """Bytes that may be held at once."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Hold bytes until the end of a block."""
        held = Held(self)
        try:
            yield held
        finally:
            held.release()
