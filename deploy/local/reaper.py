"""Outlives the supervisor: at the end of its input it stops what the supervisor left, and ends.

The supervisor holds the other end of the pipe, so the end comes when it dies, even of SIGKILL.
After a clean stop there is nothing left to do. The reaper holds the stack's lock meanwhile.
"""

import signal
import sys
from pathlib import Path

from deploy.local import leftovers
from deploy.local.home import Home


def main() -> None:
    """`python -m deploy.local.reaper HOME`, with the pipe as standard input."""
    for polite in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, signal.SIG_IGN)  # it must not go before those it guards
    sys.stdin.buffer.read()
    leftovers.stop(Home.at(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
