"""What an interrupted bridge leaves: its undelivered envelopes with a manifest, and their later delivery.

Exactly once holds because of `doubt`: before anything is sent, the broker is asked which of the envelopes
it has. It holds as long as the topic keeps the records of the first attempt (a week by default). A
delivery that dies, even by kill -9, leaves the directory whole; the next one asks again from the start.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from producers.k6 import segments
from producers.k6.delivery import Delivery, Destination
from producers.k6.envelopes import Envelope
from schemas.errors import Permanent
from schemas.runs import PartitionSent, RunAborted, RunFinished, RunStarted
from schemas.topics import Topics

_MANIFEST = "manifest.json"


class Manifest(BaseModel):
    """Everything but the envelopes. `first` numbers the first of them, `sent` is what came before.

    `started` is there when it was not published yet. `ended` lacks what is known only in the end: `sent`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    prefix: str
    key: str
    since_ms: int
    first: int
    in_doubt: bool
    points: int
    sent: list[PartitionSent]
    started: RunStarted | None
    ended: RunFinished | RunAborted


def write(directory: Path, manifest: Manifest) -> None:
    """Make a directory of segments deliverable. Raises OSError."""
    fresh = directory / f"{_MANIFEST}.new"
    with fresh.open("w") as file:
        file.write(manifest.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(directory / _MANIFEST)


def directories(spool: Path) -> list[Path]:
    """The kept runs under a spool folder, oldest first."""
    return sorted((path.parent for path in spool.glob(f"*/{_MANIFEST}")), key=os.path.getmtime)


def load(directory: Path) -> Manifest:
    """Read a manifest. Raises Permanent."""
    try:
        return Manifest.model_validate_json((directory / _MANIFEST).read_bytes())
    except FileNotFoundError:
        raise Permanent(
            f"{directory} holds no kept run. If a bridge was killed (-9) there, the points that it had "
            "in memory are lost and the run is incomplete: remove the folder and run the test again."
        ) from None
    except ValidationError as error:
        raise Permanent(f"{directory / _MANIFEST} can't be read: {error}") from error


class _Segments:
    """Reads the envelopes and leaves the files where they are."""

    def __init__(self, directory: Path) -> None:
        self._files = segments.listed(directory)
        self._loaded: list[Envelope] = []

    async def get(self) -> Envelope | None:
        while not self._loaded and self._files:
            self._loaded = list(segments.read(self._files.pop(0)))[::-1]
        return self._loaded.pop() if self._loaded else None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Permanent(f"{directory} is being delivered by another process.") from None
    finally:
        os.close(handle)


async def deliver(
    directory: Path,
    bootstrap: str,
    warn: Callable[[str], None],
    watch: Callable[[Delivery], None] = lambda _: None,
) -> RunFinished | RunAborted:
    """Deliver a kept run and remove its directory; returns the event that ended it.

    Cancel it to stop: the directory stays and can be delivered again. `watch` gets the delivery, to show
    its progress.

    Raises:
        Permanent: the directory is not deliverable, is being delivered, or Kafka refuses it.
    """
    manifest = load(directory)
    with _locked(directory):
        # From here on a kill leaves the question which of them arrived.
        write(directory, manifest.model_copy(update={"in_doubt": True}))
        delivery = Delivery(
            Destination(bootstrap, Topics(manifest.prefix), manifest.key),
            manifest.since_ms,
            warn,
            first=manifest.first,
            sent=manifest.sent,
            in_doubt=manifest.in_doubt,
        )
        watch(delivery)
        try:
            if manifest.started:
                await delivery.publish(manifest.started)
            await delivery.drain(_Segments(directory))
            ended = manifest.ended
            if isinstance(ended, RunFinished):
                ended = ended.model_copy(update={"sent": delivery.sent})
            await delivery.publish(ended)
        finally:
            with suppress(asyncio.CancelledError):
                await delivery.stop()
        shutil.rmtree(directory)
    return ended
