"""Ends a process that is stuck: it would report itself alive for ever and store nothing."""

import asyncio
import faulthandler
import logging
import sys
from collections.abc import Callable
from time import monotonic

log = logging.getLogger(__name__)


async def watch(stuck_for: Callable[[], float], patience: float) -> None:
    """Re-arm a timer that dumps all stacks and ends the process when nobody re-arms it.

    It fires when the event loop is blocked for `patience` seconds, or when `stuck_for` (seconds that
    work has waited without progress) says so for as long. The process manager starts a new process,
    which goes on from the stored offsets.
    """
    try:
        while True:
            waited = stuck_for()
            if waited < patience:
                faulthandler.dump_traceback_later(patience, exit=True, file=sys.stderr)
            else:
                log.critical("no progress for %.0f s while work waits: giving up soon", waited)
            await asyncio.sleep(patience / 10)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Progress:
    """How long work has waited without progress.

    `waiting` tells whether there is work (chunks in the pipeline, or records in Kafka that nobody
    fetches), `marker` is anything that changes when work is done.
    """

    def __init__(self, waiting: Callable[[], bool], marker: Callable[[], object]) -> None:
        self._waiting = waiting
        self._marker = marker
        self._last: object = None
        self._since = monotonic()

    def stuck_for(self) -> float:
        """Seconds since the last progress; 0 when nothing waits."""
        marker = self._marker()
        if marker != self._last or not self._waiting():
            self._last, self._since = marker, monotonic()
        return monotonic() - self._since
