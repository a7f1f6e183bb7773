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

    async def ready(self) -> None:
        """Return when /readyz says 200. Raises AssertionError, with the log, when the process ends."""
        async with asyncio.timeout(STARTS_WITHIN), aiohttp.ClientSession() as http:
            while True:
                assert self.process.poll() is None, self.log.read_text()[-4000:]
                try:
                    async with http.get(f"http://127.0.0.1:{self.port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
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
