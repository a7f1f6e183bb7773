"""Tells a running process that definitions or limits have changed, within two seconds whatever breaks."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from schemas.named_queries import load
from sinks.outages import OUTAGE

log = logging.getLogger(__name__)

_SQL = load("sinks.sql", "ingest.sql")
_CHANNELS = ("headrace_definitions", "headrace_rules", "headrace_limits")


@dataclass(frozen=True)
class Watchfulness:
    """Seconds between looks at what has changed, and for an answer; together less than two."""

    every: float = 1.0
    answer: float = 0.7
    pause: float = 0.2
    """Before connecting again."""


class ChangesOfDefinitions:
    """Calls `on_change` after each change of a definition or of a tenant's limits.

    A notification wakes it at once. Besides, the count of changes is read every second through the
    same connection: a notification that got lost is made up for, and a connection that died without a
    word is noticed and replaced.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        on_change: Callable[[], None],
        watchfulness: Watchfulness = Watchfulness(),
    ) -> None:
        self._pool = pool
        self._on_change = on_change
        self._watchfulness = watchfulness
        self._seen: int | None = None

    async def run(self) -> None:
        """Watch until cancelled. While the database is away, wait for it and say so once."""
        away = False
        while True:
            try:
                await self._listen()
            except OUTAGE as error:
                if not away:
                    log.info("connecting again to hear of changed definitions: %r", error)
                away = True
                # What was kept to be true may have changed unheard: the first look will tell.
                await asyncio.sleep(self._watchfulness.pause)
            else:
                away = False

    async def _listen(self) -> None:
        """Hear and look until the connection ends."""
        woken = asyncio.Event()
        async with self._pool.acquire(timeout=self._watchfulness.answer) as connection:

            def wake(*_: object) -> None:
                woken.set()

            connection.add_termination_listener(wake)
            for channel in _CHANNELS:
                await connection.add_listener(channel, wake)
            try:
                while not connection.is_closed():
                    woken.clear()
                    self._compare(
                        await connection.fetchval(
                            _SQL["changes"], timeout=self._watchfulness.answer
                        )
                    )
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._watchfulness.every):
                            await woken.wait()
            finally:
                # Its subscriptions end with it: unsubscribing would have to be waited for.
                connection.terminate()

    def _compare(self, changes: int) -> None:
        if self._seen is not None and changes != self._seen:
            self._on_change()
        self._seen = changes
