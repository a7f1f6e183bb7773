"""One program to run: how it is started, asked whether it is ready, and told to stop."""

import asyncio
import http.client
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.local.home import Home
from deploy.local.ports import HOST, Ports
from deploy.local.state import Kind

APP_GRACE = 10.0
SERVICE_GRACE = 20.0

Report = Callable[[str], None]
Probe = Callable[[], Awaitable[None]]


class NotReadyError(Exception):
    """The program runs but can't serve yet; the message says what is missing."""


class CannotPrepareError(Exception):
    """A server can't be prepared; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """What the supervisor needs to know about a process."""

    name: str
    kind: Kind
    argv: tuple[str, ...]
    probe: Probe
    """Returns when the program serves; raises `NotReadyError` or `OSError` while it doesn't."""
    port: int
    url: str
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    ready_within: float = 60.0
    """Seconds after which a program that doesn't serve is shown as failed."""


class Server(Protocol):
    """An embedded server. `prepare` may download and may take long; it can be called again."""

    name: str

    def prepare(self, home: Home, ports: Ports, report: Report) -> Program:
        """Make its data folder and configuration; return how to run it.

        Raises:
            CannotPrepareError: something is missing; says what to do.
        """


def grace(kind: Kind) -> float:
    """Seconds between the polite signal and SIGKILL."""
    return SERVICE_GRACE if kind == "service" else APP_GRACE


def answers(port: int, path: str) -> Probe:
    """A probe that wants 200 from an HTTP path on the loopback interface."""

    def get() -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            raise NotReadyError(f"{path} gave no HTTP answer ({error!r})") from error
        finally:
            connection.close()
        if status != http.client.OK:
            raise NotReadyError(f"{path} answers {status}")

    async def probe() -> None:
        await asyncio.to_thread(get)

    return probe


async def listening(port: int) -> None:
    """Raise `OSError` unless something accepts connections on this loopback port."""
    _, writer = await asyncio.open_connection(HOST, port)
    writer.close()
