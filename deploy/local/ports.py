"""Which process listens where, and who is in the way when a port is taken."""

import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from schemas.errors import HeadraceError

HOST = "127.0.0.1"
BASE = {
    "items": 21000,
    "gateway": 21080,
    "api": 21090,
    "ingest": 21091,
    "kafka": 21092,
    "kafka-controller": 21093,
    "worker": 21094,
    "alerts": 21095,
    "temporal": 21233,
    "temporal-ui": 21234,
    "postgres": 21432,
}
SERVER_PORTS = {
    "kafka": ("kafka", "kafka-controller"),
    "database": ("postgres",),
    "temporal": ("temporal", "temporal-ui"),
}
"""Ports of each embedded server, by the name of its endpoint."""
# Above this our ports meet those that Linux gives to outgoing connections (32768 and up).
HIGHEST_AUTOMATIC_OFFSET = 11_000


@dataclass(frozen=True)
class Ports:
    """The ports of one stack: the base ports, moved by its offset."""

    offset: int

    def __getitem__(self, name: str) -> int:
        return BASE[name] + self.offset

    def address(self, name: str) -> str:
        """host:port of a process."""
        return f"{HOST}:{self[name]}"

    def url(self, name: str) -> str:
        """Base URL of an HTTP process."""
        return f"http://{self.address(name)}"


@dataclass(frozen=True)
class Busy:
    """A port that somebody else listens on."""

    name: str
    port: int
    owner: str | None

    def __str__(self) -> str:
        return f"{self.name} needs port {self.port}, which {self.owner or 'another process'} uses"


class PortsInUse(HeadraceError):
    """Ports of the stack are taken; the message names them, their owners and the way out."""

    def __init__(self, busy: list[Busy]) -> None:
        self.busy = busy
        names = "\n".join(f"  {one}" for one in busy)
        super().__init__(
            f"Ports are in use:\n{names}\n"
            f"Stop what uses them, or take other ports: --port-offset {free_offset()}"
        )


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def owner(port: int) -> str | None:
    """The process that listens on a port, as 'name (pid N)'; None when we may not know."""
    try:
        for connection in psutil.net_connections("inet"):
            here = connection.laddr and connection.laddr.port == port
            if here and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return None
    return None


def busy(names: Iterable[str], ports: Ports) -> list[Busy]:
    """Those of the named ports that are taken, in the order of the names."""
    return [
        Busy(name, ports[name], owner(ports[name])) for name in names if not is_free(ports[name])
    ]


def free_offset() -> int:
    """An offset at which every port is free now.

    Raises:
        RuntimeError: fifty random offsets all met a busy port.
    """
    for _ in range(50):
        offset = random.randrange(10, HIGHEST_AUTOMATIC_OFFSET, 10)  # noqa: S311 - not a secret
        if not busy(BASE, Ports(offset)):
            return offset
    raise RuntimeError("No port offset with free ports was found: see which processes listen here.")
