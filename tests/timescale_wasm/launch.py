"""Starts WASM TimescaleDB servers: an empty database each, gone when the block ends."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import npm


def install(cache: Path) -> Path:
    """Install the locked packages below `cache`, unless they are there; returns their folder."""
    return npm.install(Path(__file__).parent, ["server.mjs"], cache)


@contextmanager
def timescale_wasm(folder: Path) -> Iterator[str]:
    """Run an empty database from `install`'s folder. Yields its DSN.

    Raises:
        RuntimeError: the server did not start; what it said is on standard error.
    """
    with subprocess.Popen(
        (npm.NODE, "server.mjs"),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        if not port:
            raise RuntimeError("TimescaleDB for WASM did not start; see standard error above.")
        # It asks for a password and takes any. Leaving the block closes its input, which ends it.
        yield f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
