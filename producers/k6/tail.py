"""Reads k6's file as it grows and turns it into envelopes, one block ahead of who takes them."""

import asyncio
import os
import time
from collections import deque

from producers.k6.envelopes import Envelope, Envelopes

_BLOCK = 1 << 20
"""Bytes read at once: three milliseconds of the event loop."""

_POLL = 0.05
"""Seconds between looks at a file that did not grow. k6 itself writes five times a second."""

_LINGER = 0.2
"""Seconds that points wait for their envelope to fill."""


class Tail:
    """A source of envelopes that ends when k6 has: `close` says so."""

    def __init__(self, descriptor: int, envelopes: Envelopes, at: int) -> None:
        self._descriptor, self._envelopes, self._at = descriptor, envelopes, at
        self._ready: deque[Envelope] = deque()
        self._waiting_since = 0.0
        self._closed = self._ended = False
        self.begun = asyncio.Event()
        """Set with the first envelope."""

    def skim(self, end: int) -> None:
        """Read up to there for what the lines declare; their points are in Kafka already."""
        while self._at < end:
            block = os.pread(self._descriptor, min(_BLOCK, end - self._at), self._at)
            if not block:
                return
            self._at += len(block)
            deque(self._envelopes.feed(block), maxlen=0)
        deque(self._envelopes.flush(), maxlen=0)

    def close(self) -> None:
        """k6 writes no more: after what is there now comes the end."""
        self._closed = True

    async def get(self) -> Envelope | None:
        """The next envelope, waiting for one; None after the last."""
        while not self._ready and not self._ended:
            grew = self._read()
            if self._ready:
                self.begun.set()
            # Even where the file is far ahead, others have their turn.
            await asyncio.sleep(0 if grew else _POLL)
        return self._ready.popleft() if self._ready else None

    def _read(self) -> bool:
        closed = self._closed  # before the read, which then sees all there will be
        block = os.pread(self._descriptor, _BLOCK, self._at)
        if block:
            if not self._envelopes.waiting:
                self._waiting_since = time.monotonic()
            self._at += len(block)
            self._ready.extend(self._envelopes.feed(block))
        elif closed:
            self._ready.extend(self._envelopes.end())
            self._ended = True
        if not self._ready and time.monotonic() - self._waiting_since >= _LINGER:
            self._ready.extend(self._envelopes.flush())
        return len(block) == _BLOCK
