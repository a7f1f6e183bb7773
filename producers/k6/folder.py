"""The bridge's own folder for its pipe, removed with it; what a killed bridge left, the next one removes."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "headrace-k6-"

_YOUNG = 60.0
"""Seconds in which a folder's owner has surely locked it."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user can read."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        handle = os.open(name, os.O_RDONLY)
        try:
            # A lock and not a process id: bridges of several containers may share the parent.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(handle)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # locked by its owner, another user's, or gone meanwhile
            if time.time() - folder.stat().st_mtime > _YOUNG:
                _remove_orphan(folder)


def _remove_orphan(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(handle)
