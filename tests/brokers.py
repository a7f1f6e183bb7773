"""A real broker of a test's own, to freeze, kill and start again."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.home import Home
from deploy.local.kafka import Kafka
from deploy.local.ports import Ports, free_offset
from deploy.local.program import NotReadyError
from schemas.settings import Settings


class Broker:
    """One Kafka broker with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        settings = Settings()
        home = Home.at(folder, settings.runtime or settings.home / "runtime")
        home.make()
        ports = Ports(free_offset())
        self.bootstrap = ports.address("kafka")
        self._log = home.log("kafka")
        self._program = Kafka().prepare(home, ports, lambda _: None)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self._process = process = self._spawn()
        while True:
            try:
                await self._program.probe()
            except (NotReadyError, OSError):
                assert process.poll() is None, self._log.read_text()[-2000:]
                await asyncio.sleep(0.1)  # another process has no event to wait for
            else:
                return

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(self._program.argv, stdout=log, stderr=log)

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, as a crash would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


@asynccontextmanager
async def private_broker(folder: Path) -> AsyncIterator[Broker]:
    """A running broker, gone at the end."""
    broker = Broker(folder)
    try:
        await broker.start()
        yield broker
    finally:
        broker.kill()
