"""Reads the logs of a stack: the last lines, then what is added."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.local.home import Home, tail

LOOK_EVERY = 0.2


def names(home: Home) -> list[str]:
    """The processes that have a log, in alphabetical order."""
    return sorted(path.stem for path in (home.root / "logs").glob("*.log"))


def last(home: Home, wanted: Sequence[str], lines: int) -> Iterator[tuple[str, str]]:
    """(process, line) for the last lines of each log."""
    for name in wanted:
        for line in tail(home.log(name), lines):
            yield name, line


def follow(home: Home, wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(process, line) for each line written after this call; never ends."""
    return _added({name: _Tracked(home.log(name)) for name in wanted})


def _added(tracked: dict[str, "_Tracked"]) -> Iterator[tuple[str, str]]:
    while True:
        for name, log in tracked.items():
            for line in log.new_lines():
                yield name, line
        time.sleep(LOOK_EVERY)


class _Tracked:
    """A growing file; begins again when a new file takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._position = self._look()
        self._rest = b""

    def _look(self) -> tuple[int, int]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return 0, 0
        return stat.st_ino, stat.st_size

    def new_lines(self) -> list[str]:
        inode, size = self._look()
        if inode != self._inode or size < self._position:
            self._inode, self._position, self._rest = inode, 0, b""
        if size <= self._position:
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            added = file.read()
        self._position += len(added)
        *whole, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in whole]
