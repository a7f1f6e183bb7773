"""The processes between a sample and what is done about it: two of each, killed -9 and started again at random."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import Headrace, free_port

COMMANDS = ("alerts", "alerts", "worker", "worker")
_LOOK = 0.2
_READY_WITHIN = 180.0
_BETWEEN = (0.5, 3.0)
"""Seconds between two kills."""


@dataclass
class Crew:
    """Each process is there again whenever it has ended, as its manager would see to."""

    env: dict[str, str]
    folder: Path
    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """That ended by themselves."""
    _members: list[Headrace] = field(default_factory=list)

    def start(self) -> None:
        """Start all."""
        self._members = [self._new(place) for place in range(len(COMMANDS))]

    async def ready(self) -> None:
        """Wait until all are."""
        async with asyncio.timeout(_READY_WITHIN):
            while not all([await one.is_ready() for one in self._members]):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(_LOOK)
        self.ended.clear()  # on a busy machine somebody takes a port that was free

    async def kill_one(self) -> None:
        """Kill any of them that is at work."""
        await asyncio.sleep(random.uniform(*_BETWEEN))  # noqa: S311 - no secret
        place = await self._at_work()
        self._members[place].kill()
        self.killed[COMMANDS[place]] += 1
        self._members[place] = self._new(place)

    async def keep(self) -> None:
        """Start again what ends by itself, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            for place, one in enumerate(self._members):
                if one.process.poll() is not None:
                    self.ended[COMMANDS[place]] += 1
                    self._members[place] = self._new(place)

    def stop(self) -> None:
        """Kill all."""
        for one in self._members:
            one.kill()

    async def _at_work(self) -> int:
        while True:
            for place in random.sample(range(len(COMMANDS)), len(COMMANDS)):
                if await self._members[place].is_ready():
                    return place
            await asyncio.sleep(_LOOK)

    def _new(self, place: int) -> Headrace:
        port = free_port()
        log = self.folder / f"{COMMANDS[place]}{place}.log"
        return Headrace([COMMANDS[place], "--port", str(port)], self.env, log, port, "deploy.cli")


@asynccontextmanager
async def crew(env: dict[str, str], folder: Path) -> AsyncIterator[Crew]:
    """All of them, ready; killed at the end."""
    found = Crew(env, folder)
    found.start()
    keeping = asyncio.create_task(found.keep())
    try:
        await found.ready()
        yield found
    finally:
        keeping.cancel()
        found.stop()
