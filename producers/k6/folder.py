"""A run's folder: all that a successor needs when the bridge is killed.

    manifest.json   what runs; written before k6 starts
    points.json     k6's `--out json`, freed from the front as Kafka has it
    progress.json   how far Kafka surely has it
    running         locked while k6, or the keeper that waits for it, lives
    pid, exit.json, summary.json    the keeper's (`keeper`)

Whoever bridges the run holds a lock on the folder itself. A kernel gives locks back whatever the death.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from producers.k6.urls import Folding
from schemas.errors import Permanent
from schemas.runs import PartitionSent, RunStarted, Threshold

_MANIFEST = "manifest.json"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Manifest(_Document):
    """What runs. `started` is the event, with what `k6 inspect` says as soon as it has said it."""

    version: Literal[2] = 2
    topic_prefix: str
    since_ms: int
    disk_limit: int
    folding: Folding
    started: RunStarted


class Progress(_Document):
    """What is acknowledged up to `end`, a position in the points; and what lines before it declared."""

    end: int = 0
    points: int = 0
    sent: list[PartitionSent] = []
    metrics: dict[str, str] = {}
    thresholds: list[Threshold] = []
    named: list[str] = []


class Exit(_Document):
    """How k6 ended: its exit code, or minus the signal that killed it."""

    code: int
    at: AwareDatetime


class RunFolder:
    """An open folder; nobody else can open it meanwhile."""

    def __init__(self, path: Path) -> None:
        """Lock it. Raises Permanent where another process has it, or where it is gone."""
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise Permanent(f"{path} holds no run: {error.strerror}.") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise Permanent(f"{path} is being delivered by another process.") from None

    @classmethod
    def make(cls, spool: Path, manifest: Manifest) -> Self:
        """A new folder for a run that is about to start. Raises Permanent where the disk takes none."""
        # A name of its own: an execution may have several runners on one machine.
        path = spool / f"{manifest.started.execution_id}-{secrets.token_hex(3)}"
        try:
            spool.mkdir(parents=True, exist_ok=True)
            path.mkdir(0o700)
            folder = cls(path)
            for file in (folder.points, folder.running):
                file.touch(0o600)
            folder.write(manifest)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            raise Permanent(f"{path} can't be written: {error.strerror}.") from error
        return folder

    def close(self) -> None:
        """Let others have it."""
        os.close(self._handle)

    def remove(self) -> None:
        """Everything is where it belongs, or there was nothing."""
        # First, so that a half removed folder is not taken for a run.
        (self.path / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def points(self) -> Path:
        """Where k6 writes."""
        return self.path / "points.json"

    @property
    def running(self) -> Path:
        """What k6 and its keeper hold locked."""
        return self.path / "running"

    @property
    def summary_file(self) -> Path:
        """Where k6's summary is, or a copy of it."""
        return self.path / "summary.json"

    def manifest(self) -> Manifest:
        """What runs. Raises Permanent."""
        try:
            return Manifest.model_validate_json((self.path / _MANIFEST).read_bytes())
        except FileNotFoundError:
            raise Permanent(f"{self.path} holds no run.") from None
        except ValidationError as error:
            raise Permanent(
                f"{self.path / _MANIFEST} can't be read; a run that an earlier version of headrace kept "
                f"has to be delivered by that version. {error}"
            ) from error

    def progress(self) -> Progress:
        """How far it came; nothing where that was not written, or not whole before a power failure."""
        with suppress(FileNotFoundError, ValidationError):
            return Progress.model_validate_json((self.path / "progress.json").read_bytes())
        return Progress()

    def write(self, document: Manifest | Progress) -> None:
        """Replace a document, whole or not at all. Raises OSError."""
        name = _MANIFEST if isinstance(document, Manifest) else "progress.json"
        fresh = self.path / f"{name}.new"
        fresh.write_text(document.model_dump_json(indent=1))
        fresh.replace(self.path / name)

    def summary(self) -> dict[str, Any] | None:
        """k6's summary document; None where it wrote none, as after `--no-summary` or a second Ctrl-C."""
        with suppress(OSError, ValueError):
            document = json.loads(self.summary_file.read_bytes())
            return document if isinstance(document, dict) else None
        return None

    def exit(self) -> Exit | None:
        """How k6 ended; None while it runs, or where its keeper was killed before it saw the end."""
        with suppress(FileNotFoundError):
            return Exit.model_validate_json((self.path / "exit.json").read_bytes())
        return None

    def alive(self) -> bool:
        """Whether k6 still writes."""
        if self.exit() is not None:
            return False
        with self.running.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def pid(self) -> int | None:
        """k6's process, while it runs and as soon as it does."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.path / "pid").read_text()) if self.alive() else None
        return None

    @contextmanager
    def held_running(self) -> Iterator[int]:
        """A descriptor that keeps `running` locked in each process that inherits it."""
        with self.running.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()


def unfinished(spool: Path, execution_id: UUID | None = None) -> list[Path]:
    """Folders of runs, or of one run's runners, oldest first."""
    name = f"{execution_id}-*" if execution_id else "*"
    return sorted((path.parent for path in spool.glob(f"{name}/{_MANIFEST}")), key=os.path.getmtime)


def is_idle(path: Path) -> bool:
    """Whether nobody works on it just now."""
    try:
        RunFolder(path).close()
    except Permanent:
        return False
    return True
