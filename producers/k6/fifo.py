"""The pipe that k6 writes its points to, and the loop that empties it."""

import contextlib
import fcntl
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from producers.k6.envelopes import Envelopes
from producers.k6.spool import Spool

_BLOCK = 1 << 20
"""Of the pipe and of one read: 40 ms of a heavy test, and the most that Linux gives an ordinary user."""

_GATHER = 0.005
"""Seconds between a pipe's first byte and the read. k6 writes line by line; reading them one by one
would cost a wake-up a point."""

_LINGER = 0.2
"""Seconds that points wait for their envelope to fill. k6 itself writes five times a second."""


class Fifo:
    """A named pipe of our own. Named, because k6 may start another k6 (one built with extensions)."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        self.path = path
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        # Without a writer of ours the pipe would be at its end before k6 has opened it.
        self._writer: int | None = os.open(path, os.O_WRONLY)
        if sys.platform == "linux":
            # All pipes of a user have a limit together; beyond it 64 KiB must do.
            with contextlib.suppress(PermissionError):
                fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _BLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        os.close(self._reader)

    def end(self) -> None:
        """k6 is gone: what it wrote is all there will be."""
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None

    def copy(self, envelopes: Envelopes, spool: Spool) -> None:
        """Read to the end into the spool and close that. Blocks: run it in a thread."""
        try:
            oldest = time.monotonic()
            for block in self.blocks():
                if not envelopes.waiting:
                    oldest = time.monotonic()
                for envelope in envelopes.feed(block):
                    spool.put(envelope)
                if time.monotonic() - oldest >= _LINGER:
                    for envelope in envelopes.flush():
                        spool.put(envelope)
            for envelope in envelopes.end():
                spool.put(envelope)
        finally:
            spool.close()

    def blocks(self) -> Iterator[bytes]:
        """What k6 writes, to the end; an empty block where nothing came for a while. Blocks."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        while True:
            if not poll.poll(_LINGER * 1000):
                yield b""
                continue
            time.sleep(_GATHER)
            block = os.read(self._reader, _BLOCK)
            if not block:
                return
            yield block
