"""Shows in the worker's metrics what stands still in the database: workflows can't tell that they hang."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from schemas.errors import HeadraceError
from sinks.standing import Standing
from workflows.metrics import Metrics

_log = logging.getLogger(__name__)

EVERY = 15.0
"""Seconds between looks: as often as Prometheus asks."""


async def show_standing(read: Callable[[], Awaitable[Standing]], metrics: Metrics) -> None:
    """Show it until cancelled; while the database is away what was seen last stays."""
    while True:
        try:
            standing = await read()
        except HeadraceError as error:
            _log.info("can't see how far maintenance and runs are: %s", error)
        else:
            metrics.oldest_post_test.set(standing.oldest_post_test)
            for part, at in standing.maintained.items():
                metrics.maintained.labels(part).set(at)
        await asyncio.sleep(EVERY)
