"""Ends a Faust application, or tells that it ended by itself."""

import asyncio
import logging
import os
from typing import Any

log = logging.getLogger(__name__)

LEAVE_WITHIN = 3.0
"""Seconds to leave the consumer group."""


async def leave(app: Any) -> None:
    """Leave the group; without a broker that can't be done, and the group finds out by itself."""
    stopping = asyncio.ensure_future(app.stop())
    await asyncio.wait([stopping], timeout=LEAVE_WITHIN)
    if not stopping.done():
        log.warning("Kafka does not answer; left without saying goodbye")
        # Faust's consumer thread waits for the broker and heeds no cancellation. What is durable is in
        # the database, so there is nothing that a gentler end would save.
        logging.shutdown()
        os._exit(0)
    stopping.result()


async def crash_of(app: Any) -> None:
    """Wait until Faust crashes, and raise why."""
    await app.wait(app._crashed.wait())  # noqa: SLF001 # mode offers no public way to await a crash
    raise app.crash_reason or RuntimeError("Faust crashed without a reason")
