"""Holds envelopes between the thread that makes them and the event loop that sends them, in order.

    put ─→ tail ─→ segments on disk ─→ head ─→ get

While memory suffices an envelope goes straight to the head. When the head is full, a tail collects
them and is written to disk, segment by segment, until the head has taken all back. At the limit, and
while the disk takes nothing, `put` waits: that stalls k6's output, never its iterations, and loses nothing.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from producers.k6 import segments
from producers.k6.envelopes import Envelope

_DISK_RETRY = 1.0
"""Seconds until a full disk is tried again."""


@dataclass(frozen=True)
class SpoolPolicy:
    """How much may wait where, in bytes."""

    memory: int = 16 << 20
    """Of the head: about 170,000 points, two seconds of a heavy test."""
    segment: int = 4 << 20
    disk: int = 4 << 30
    """An outage of some four minutes at 70,000 points a second; 0 for a source that may wait."""


class Spool:
    """One thread puts, one event loop gets. Made in the running loop; the directory when it is needed."""

    def __init__(self, directory: Path, policy: SpoolPolicy, warn: Callable[[str], None]) -> None:
        self._directory, self._policy, self._warn = directory, policy, warn
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._moved = threading.Condition()
        self._head: deque[Envelope] = deque()
        self._head_bytes = 0
        self._tail: list[Envelope] = []
        self._tail_bytes = 0
        self._segments: deque[tuple[Path, int]] = deque()
        self._disk_bytes = 0
        self._written = 0
        self._closed = self._unlimited = self._warned = False
        self.begun = asyncio.Event()
        """Set with the first envelope."""
        self.spooled_bytes = 0
        """Written to disk so far, in all."""

    def put(self, envelope: Envelope) -> None:
        """Add an envelope; waits at the limit. Called by one thread that is not the event loop's."""
        if not self.begun.is_set():
            self._loop.call_soon_threadsafe(self.begun.set)
        size = len(envelope.value)
        with self._moved:
            if (
                not (self._tail or self._segments)
                and self._head_bytes + size <= self._policy.memory
            ):
                self._to_head([envelope], size)
                return
            self._tail.append(envelope)
            self._tail_bytes += size
            self._wake()
            full = self._tail_bytes >= self._policy.segment
        if full:
            self._seal()

    def close(self) -> None:
        """No more envelopes will be put."""
        with self._moved:
            self._closed = True
            self._wake()

    async def get(self) -> Envelope | None:
        """The oldest envelope, waiting for one; None after the last."""
        while True:
            with self._moved:
                if self._head or self._refill():
                    envelope = self._head.popleft()
                    self._head_bytes -= len(envelope.value)
                    self._moved.notify()
                    return envelope
                if self._closed:
                    return None
                self._arrived.clear()
            await self._arrived.wait()

    def lift_limit(self) -> None:
        """Let `put` wait no longer: k6 has ended and somebody wants to leave.

        What is left in the pipe then, at most 1 MiB, fits in memory even if no disk takes it.
        """
        with self._moved:
            self._unlimited = True
            self._moved.notify()

    def keep(self, first: Iterable[Envelope]) -> None:
        """Write what is in memory to disk, `first` before all; the spool is of no further use then.

        Raises:
            OSError: the disk did not take it.
        """
        with self._moved:
            self._directory.mkdir(parents=True, exist_ok=True)
            segments.write(segments.path(self._directory, 0), (*first, *self._head))
            if self._tail:
                segments.write(segments.path(self._directory, self._written + 1), self._tail)

    def discard(self) -> None:
        """Remove the directory, which is empty when everything was taken."""
        with contextlib.suppress(FileNotFoundError):
            self._directory.rmdir()

    def _refill(self) -> bool:
        if self._segments:
            file, size = self._segments.popleft()
            self._head.extend(segments.read(file))
            file.unlink()
            self._head_bytes += size
            self._disk_bytes -= size
        elif self._tail:
            self._head.extend(self._tail)
            self._head_bytes += self._tail_bytes
            self._tail, self._tail_bytes = [], 0
        return bool(self._head)

    def _seal(self) -> None:
        """Move the tail to disk, or to the head if that ran empty meanwhile; wait until either is possible."""
        while True:
            with self._moved:
                size = self._tail_bytes
                if not self._tail:  # the event loop took it
                    return
                room = self._unlimited or self._disk_bytes + size <= self._policy.disk
                problem = f"its limit of {self._policy.disk >> 20} MiB"
                if room:
                    try:
                        self._write()
                    except OSError as error:
                        problem = f"a disk that takes no more ({error.strerror})"
                    else:
                        return
                if self._unlimited:
                    return
                self._say_once(problem)
                self._moved.wait(_DISK_RETRY)

    def _write(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        file = segments.path(self._directory, self._written + 1)
        segments.write(file, self._tail)
        self._written += 1
        self._segments.append((file, self._tail_bytes))
        self._disk_bytes += self._tail_bytes
        self.spooled_bytes += self._tail_bytes
        self._tail, self._tail_bytes = [], 0
        self._wake()

    def _to_head(self, envelopes: Iterable[Envelope], size: int) -> None:
        self._head.extend(envelopes)
        self._head_bytes += size
        self._wake()

    def _wake(self) -> None:
        if not self._arrived.is_set():
            self._loop.call_soon_threadsafe(self._arrived.set)

    def _say_once(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                f"the spool in {self._directory} has reached {problem}: k6's output waits until Kafka "
                "takes points again. Nothing is lost; k6 keeps them in its own memory meanwhile."
            )
