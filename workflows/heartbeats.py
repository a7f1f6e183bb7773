"""Heartbeats of activities, by which Temporal notices soon that a worker was killed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio import activity

TIMEOUT = timedelta(seconds=15)
"""After this the step of a killed worker goes to another."""

_BEAT = 5.0
"""Seconds between heartbeats: a third of the timeout."""


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Tell Temporal that the worker lives, for as long as the block takes."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
