"""What a stack writes down about itself: `state.json`, replaced as a whole, readable by its owner."""

import os
from pathlib import Path
from typing import Literal

import msgspec
import psutil

Kind = Literal["service", "step", "app"]
Condition = Literal["starting", "ready", "failed", "stopped", "external"]
Phase = Literal["starting", "running", "failed", "stopping", "stopped"]
VERSION = 1


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One process of the stack, or the external server that takes its place."""

    name: str
    kind: Kind
    state: Condition
    pid: int = 0
    create_time: float = 0.0
    """Seconds since the epoch; with the pid it names a process for good."""
    port: int = 0
    url: str = ""
    """May hold a password: show `shown_url` to people."""
    log: str = ""
    restarts: int = 0
    detail: str = ""
    """What it is doing or what went wrong, in a few words."""

    @property
    def shown_url(self) -> str:
        """The URL with any password hidden."""
        return hide_password(self.url)

    @property
    def settled(self) -> bool:
        """Whether it is as it should be."""
        return self.state in {"ready", "external"}


class Endpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses of a stack, as clients need them."""

    kafka: str
    database: str
    temporal: str
    temporal_ui: str
    gateway: str
    api: str
    ingest_metrics: str
    worker_metrics: str
    items: str


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole stack at one moment."""

    phase: Phase
    supervisor_pid: int
    supervisor_create_time: float
    port_offset: int
    endpoints: Endpoints
    services: tuple[Service, ...]
    problem: str = ""
    version: int = VERSION

    @property
    def ready(self) -> bool:
        """Whether everything that should run does."""
        return self.phase == "running" and all(service.settled for service in self.services)


def write(path: Path, state: State) -> None:
    """Replace the file in one step: a reader sees the old state or the new one."""
    temporary = path.with_suffix(".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    temporary.replace(path)


def read(path: Path) -> State | None:
    """The last state written; None when there is none or another version wrote it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def process(pid: int, create_time: float) -> psutil.Process | None:
    """The process that was recorded, if it still runs; never another one with its pid."""
    if not pid:
        return None
    try:
        found = psutil.Process(pid)
        return found if abs(found.create_time() - create_time) < 1.0 and runs(found) else None
    except psutil.NoSuchProcess:
        return None


def runs(process: psutil.Process) -> bool:
    """Whether a process is alive; a zombie is not."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def hide_password(url: str) -> str:
    """A URL or DSN with the password of its authority replaced by stars."""
    head, at, tail = url.rpartition("@")
    scheme, separator, authority = head.partition("://")
    user, colon, _ = authority.partition(":")
    return f"{scheme}{separator}{user}:***@{tail}" if at and colon else url
