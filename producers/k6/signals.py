"""Receives a terminal's and other processes' signals beside k6, so that each reaches k6 exactly once.

Ctrl-C goes from the terminal to every process of the foreground, k6 among them: passing it on would make
it k6's second, which aborts. What another process sends (`kill`, a container's stop) comes to the bridge
alone and has to be passed on. The kernel says which it was. Whoever signals the whole process group from
outside reaches k6 twice, as `timeout` does with k6 alone.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

_SI_USER_OR_BELOW = 0
"""`si_code` of signals that processes send; the kernel's own are positive."""

_LOOK = 0.2
"""Seconds until the waiting thread looks whether it is to end."""

Receiver = Callable[[signal.Signals, bool], None]


class Signals:
    """Blocks the signals in this thread and those that it starts; enter it before any other exists."""

    def __enter__(self) -> Self:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        self._ended = threading.Event()
        self._subscribed = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._subscribed.set()
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def subscribe(self, receive: Receiver) -> None:
        """Call `receive(signal, from_a_process)` in the running loop for each signal from now on."""
        self._loop, self._receive = asyncio.get_running_loop(), receive
        self._subscribed.set()

    def _wait(self) -> None:
        self._subscribed.wait()
        while not self._ended.is_set():
            info = signal.sigtimedwait(TAKEN, _LOOK)
            if info is not None:
                sent = info.si_code <= _SI_USER_OR_BELOW
                self._loop.call_soon_threadsafe(self._receive, signal.Signals(info.si_signo), sent)
