"""The table of headrace's own processes: what `up` runs after the servers are ready."""

import sys

import msgspec

from deploy.local.ports import BASE

COMMAND = (sys.executable, "-m", "deploy.cli")


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process that is kept running; ready when `GET /readyz` on its port answers 200."""

    name: str
    argv: tuple[str, ...]
    port: str
    """Name of its port in `ports.BASE`."""

    def __post_init__(self) -> None:
        if self.port not in BASE:
            raise ValueError(
                f"{self.name}: no port is called {self.port!r}; see deploy/local/ports.py"
            )


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one stack runs: a step that must succeed, then processes side by side."""

    migrate: tuple[str, ...]
    apps: tuple[App, ...]


TABLE = Table(
    migrate=(*COMMAND, "migrate"),
    apps=(
        App("gateway", (*COMMAND, "gateway"), port="gateway"),
        App("ingest", (*COMMAND, "ingest"), port="ingest"),
        App("alerts", (*COMMAND, "alerts"), port="alerts"),
        App("worker", (*COMMAND, "worker"), port="worker"),
        App("api", (*COMMAND, "api"), port="api"),
    ),
)
SERVICES_ONLY = Table(migrate=(), apps=())
