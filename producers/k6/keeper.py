"""Starts k6, waits for it and writes down how it ended, so that the bridge may die meanwhile.

Run as a script: `keeper.py FOLDER SUMMARY PROGRAM ARGUMENT…`, with the standard library only: it starts in
20 ms. k6 gets the signals of a fresh process; the keeper ignores those of the terminal, which are k6's.
`SUMMARY` is where k6 writes its summary: what it writes there now is copied to the folder.
"""

import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

_OURS_TO_IGNORE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def keep(folder: Path, summary: Path, argv: list[str]) -> int:
    """Run a program to its end; returns what a shell would."""
    before = _stamp(summary)
    for one in _OURS_TO_IGNORE:
        signal.signal(one, signal.SIG_IGN)
    pid = os.fork()
    if not pid:
        _become(argv)
    _write(folder / "pid", str(pid))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if _stamp(summary) not in {None, before} and summary.parent != folder:
        shutil.copyfile(summary, folder / "summary.json")
    _write(folder / "exit.json", json.dumps({"code": code, "at": datetime.now(UTC).isoformat()}))
    return code if code >= 0 else 128 - code


def _become(argv: list[str]) -> None:
    # The bridge blocks signals to pass them on; Python ignores the last two.
    for one in (*_OURS_TO_IGNORE, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(one, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(argv[0], argv)  # noqa: S606 # that no shell is between is the point


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def _stamp(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
