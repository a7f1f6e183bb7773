"""Watches the disk that k6's points wait on, and gives back what nobody needs any more."""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_ALIGN = 1 << 16
"""Holes of whole blocks only: a part of one would be written with zeros instead."""


@dataclass(frozen=True)
class DiskPolicy:
    """How much points may take, and how much they leave to others, in bytes.

    k6 can't wait for a disk: what it can't write is lost. So the test is ended before that, and what it
    writes while it ends, two seconds of a heavy test, fits into `spare`.
    """

    limit: int = 8 << 30
    """An outage of some four minutes at 90,000 points a second."""
    spare: int = 64 << 20

    def problem(self, taken: int, free: int) -> str:
        """Why the test has to end; empty while there is room."""
        if taken > self.limit:
            return f"its points have reached the limit of {self.limit >> 20:,} MiB on disk"
        return "there is hardly any room left on the disk" if free < self.spare else ""


class PointsOnDisk:
    """The file of points, by a descriptor that may write, freed from the front."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._freed = 0
        self._punch = _puncher()
        self.can_free = self._punch is not None
        """Whether the file system gives back a part of a file; known after the first attempt."""

    @property
    def room(self) -> tuple[int, int]:
        """Bytes that the file takes, and bytes free beside it."""
        disk = os.fstatvfs(self._descriptor)
        return os.fstat(self._descriptor).st_blocks * 512, disk.f_bavail * disk.f_frsize

    @property
    def size(self) -> int:
        """Bytes written so far, freed ones included."""
        return os.fstat(self._descriptor).st_size

    @property
    def whole(self) -> bool:
        """Whether it ends with a whole line."""
        size = self.size
        return not size or os.pread(self._descriptor, 1, size - 1) == b"\n"

    def free(self, end: int) -> None:
        """Give back what lies before this position."""
        end = max(end - 1, 0) // _ALIGN * _ALIGN  # the last byte tells whether the file is whole
        if self._punch is None or not self.can_free or end <= self._freed:
            return
        self.can_free = self._punch(self._descriptor, self._freed, end - self._freed)
        self._freed = end


def _puncher() -> Callable[[int, int, int], bool] | None:
    """fallocate(2), which Python does not have; None where the system has none."""
    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)
    if fallocate is None:
        return None

    def punch(descriptor: int, start: int, length: int) -> bool:
        mode = _KEEP_SIZE | _PUNCH_HOLE
        return not fallocate(descriptor, mode, ctypes.c_int64(start), ctypes.c_int64(length))

    return punch
