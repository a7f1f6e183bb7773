"""The file of a finished run, `--out json` or `--out csv`, packed or not: its format, identity and blocks.

Format and packing follow from the content: what a file is called says nothing.
"""

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

from producers.k6.csv_lines import HEAD, as_rfc3339
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
    csv: bool

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
    csv = False
    for line in head.split(b"\n"):
        csv = csv or line.startswith(HEAD.encode())
        try:
            text = as_rfc3339(_second(line)) if csv else decode_point(line).data.time
            first = datetime.fromisoformat(text)
        except (msgspec.DecodeError, ValueError, OverflowError):
            continue
        return RunFile(path, digest.digest(), first, csv)
    raise Permanent(
        f"{path} holds no points of k6: it must come from `k6 run --out json={path.name}` or `--out csv=…`."
    )


def _second(line: bytes) -> str:
    """The second column of a row of CSV. Raises ValueError."""
    _, stamp, _ = line.decode(errors="replace").split(",", 2)
    return stamp


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
