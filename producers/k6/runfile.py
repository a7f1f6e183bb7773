"""The file of a finished run, `--out json=run.json` or `run.json.gz`: its identity, and its blocks."""

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from io import BufferedIOBase
from pathlib import Path
from typing import cast
from uuid import UUID, uuid5

import msgspec

from schemas.errors import Permanent
from schemas.k6 import decode_point

_BLOCK = 1 << 18
_GZIP = b"\x1f\x8b"
_IMPORTS = UUID("5b0f64a2-5d6c-4c5e-9d53-7f3d64a9b7a1")
"""Namespace of execution ids that follow from a file's content; changing it makes old imports strange."""

Progress = Callable[[int, int], None]
"""Told bytes done and bytes in all, of the file as it lies on disk."""


@dataclass(frozen=True)
class RunFile:
    """A file that was read once. `first` is the time of its first point."""

    path: Path
    digest: bytes
    first: datetime

    def execution_id(self, tenant_id: UUID) -> UUID:
        """The same for the same lines, compressed or not; another for each tenant."""
        return uuid5(_IMPORTS, f"{tenant_id}/{self.digest.hex()}")


def examine(path: Path, progress: Progress) -> RunFile:
    """Read the whole file. Raises Permanent where it is no run of k6."""
    digest, head = hashlib.sha256(), b""
    for block in blocks(path, progress):
        digest.update(block)
        if len(head) < _BLOCK:
            head += block
    for line in head.split(b"\n"):
        try:
            first = datetime.fromisoformat(decode_point(line).data.time)
        except (msgspec.DecodeError, ValueError):
            continue
        return RunFile(path, digest.digest(), first)
    raise Permanent(
        f"{path} holds no points of k6: it must come from `k6 run --out json={path.name}`."
    )


def blocks(path: Path, progress: Progress) -> Iterator[bytes]:
    """The file's content, unpacked if its first bytes say gzip. Raises Permanent."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            packed = file.peek(len(_GZIP)).startswith(_GZIP)
            with closing(
                cast("BufferedIOBase", gzip.GzipFile(fileobj=file) if packed else file)
            ) as lines:
                while block := lines.read(_BLOCK):
                    yield block
                    progress(file.tell(), size)
    except (OSError, EOFError) as error:
        raise Permanent(f"{path} can't be read: {error}") from error
