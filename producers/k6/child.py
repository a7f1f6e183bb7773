"""Becomes k6: with the signals of a fresh process, and ending with the bridge.

Run as a script: `child.py PARENT PROGRAM ARGUMENT…`. Between fork and exec of a process with threads no
Python may run, hence this step of 20 ms.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(parent: int, argv: list[str]) -> None:
    """Replace this process."""
    # The bridge blocks signals to pass them on; Python ignores these two.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    if sys.platform == "linux":
        # A bridge killed with -9 empties the pipe no more: k6 would hang at its end, for ever.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        os.execv(argv[0], argv)  # noqa: S606 # that no shell is between is the point


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
