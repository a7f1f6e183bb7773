"""The one activity of maintenance: runs a part, with heartbeats that say how far it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from temporalio import activity

from sinks.lifecycle.maintenance import PartName
from workflows.maintenance.types import Parts
from workflows.metrics import Metrics

_BEAT = 5.0
"""Seconds between heartbeats: a third of the workflow's heartbeat timeout."""


class MaintenanceActivities:
    """The parts of a store."""

    def __init__(self, parts: Parts, metrics: Metrics) -> None:
        self._parts = parts
        self._metrics = metrics

    @property
    def all(self) -> list[Callable[..., Awaitable[object]]]:
        """The activities, for a worker to serve."""
        return [self.run_part]

    @activity.defn
    async def run_part(self, part: PartName) -> str:
        """Run a part; return what it did, in words."""
        began, at = time.monotonic(), "begun"

        def progress(words: str) -> None:
            nonlocal at
            at = words

        async def beat() -> None:
            while True:
                activity.heartbeat(at)
                await asyncio.sleep(_BEAT)

        beating = asyncio.create_task(beat())
        try:
            done = await self._parts.run(part, progress)
        except Exception:
            self._metrics.maintenance_failures.labels(part).inc()
            raise
        finally:
            beating.cancel()
        self._metrics.maintenance_seconds.labels(part).observe(time.monotonic() - began)
        self._metrics.maintenance_done.labels(part).inc(done.count)
        return done.told
