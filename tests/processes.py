"""Runs headrace processes as a user would, and does to them what production does."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

STARTS_WITHIN = 60.0


class Headrace:
    """One `headrace …` process. Its log is a file, so that it never blocks on a full pipe."""

    def __init__(
        self, argv: list[str], env: dict[str, str], log: Path, port: int, module: str
    ) -> None:
        self.port = port
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *argv],
                env={**os.environ, **env},
                stdout=output,
                stderr=output,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill -9, and reap."""
        self.process.kill()
        self.process.wait()

    async def stop(self, within: float = 10.0) -> int:
        """SIGTERM; the exit code. Raises TimeoutExpired when it takes longer."""
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, within)

    async def logged(self, text: str) -> None:
        """Return when it has said so."""
        async with asyncio.timeout(STARTS_WITHIN):
            while text not in self.log.read_text():
                assert self.process.poll() is None, self.log.read_text()[-4000:]
                await asyncio.sleep(0.05)

    async def status(self, path: str) -> int:
        """What it answers to a GET."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.port}/{path}") as answer,
        ):
            return answer.status

    async def is_ready(self) -> bool:
        """Whether /readyz says 200."""
        try:
            return await self.status("readyz") == 200
        except aiohttp.ClientError:
            return False

    async def ready(self, within: float = STARTS_WITHIN) -> None:
        """Return when /readyz says 200. Raises AssertionError, with the log, when the process ends."""
        async with asyncio.timeout(within):
            while True:
                assert self.process.poll() is None, self.log.read_text()[-4000:]
                if await self.is_ready():
                    return
                await asyncio.sleep(0.05)


@contextmanager
def headrace(
    *argv: str,
    env: dict[str, str],
    log: Path,
    port: int | None = None,
    module: str = "deploy.cli",
) -> Iterator[Headrace]:
    """A process that is killed at the end if it still runs."""
    port = port or free_port()
    process = Headrace([*argv, "--port", str(port)], env, log, port, module)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.send(signal.SIGCONT)
            process.kill()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
