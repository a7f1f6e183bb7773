"""Where a local stack keeps its things, and the lock that says whether it runs.

.headrace/state.json  lock  data/{kafka,postgres,temporal}/  logs/  runtime/  tmp/
"""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

OLD_LOG_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Home:
    """The folders of one stack; `runtime` (downloaded jars) may be shared by several."""

    root: Path
    runtime: Path

    @classmethod
    def at(cls, root: Path, runtime: Path | None = None) -> "Home":
        """Resolve both paths now: children run in other working directories."""
        root = root.expanduser().absolute()
        return cls(root, (runtime or root / "runtime").expanduser().absolute())

    @property
    def state(self) -> Path:
        """What runs where."""
        return self.root / "state.json"

    @property
    def tmp(self) -> Path:
        """TMPDIR of every child: Kafka unpacks native libraries there."""
        return self.root / "tmp"

    def data(self, name: str) -> Path:
        """The data folder (or a file beside it) of one service."""
        return self.root / "data" / name

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.root / "logs" / f"{name}.log"

    @property
    def held(self) -> Path:
        """While a file here has a process's name, the supervisor does not start that process."""
        return self.root / "held"

    def make(self) -> None:
        """Create the folders.

        Raises:
            OSError: the folder can't be written.
        """
        for folder in ("data", "logs", "tmp", "held"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.runtime.mkdir(parents=True, exist_ok=True)

    def open_log(self, name: str) -> int:
        """Open a log to append to, with a big one moved aside first; returns a file descriptor."""
        path = self.log(name)
        if path.exists() and path.stat().st_size > OLD_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def try_lock(home: Home) -> int | None:
    """Take the stack's lock: a file descriptor, or None when somebody runs (or stops) the stack.

    The descriptor is handed from the starting client to the supervisor and on to the reaper, and
    the kernel frees the lock when the last of them is gone, however it went.
    """
    fd = os.open(home.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def tail(path: Path, lines: int, since: int = 0) -> list[str]:
    """The last lines of a log behind byte `since`; none when there is no log. Reads 64 KiB at most."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - 2**16))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:] if lines > 0 else []
