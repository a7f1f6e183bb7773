"""Starts WASM TimescaleDB servers: a database each, gone when the block ends."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import npm


def install(cache: Path) -> Path:
    """Install the locked packages below `cache`, unless they are there; returns their folder."""
    return npm.install(Path(__file__).parent, ["server.mjs"], cache)


@contextmanager
def timescale_wasm(folder: Path, image: Path | None = None) -> Iterator[str]:
    """Run a database from `install`'s folder: an empty one, or what the image holds. Yields its DSN.

    Raises:
        RuntimeError: the server did not start; what it said is on standard error.
    """
    with _running(folder, image) as (_, dsn):
        yield dsn


def make_image(folder: Path, image: Path, fill: Callable[[str], object]) -> Path:
    """Write an image of a database that `fill`, given its DSN, has filled: to start from it takes half as long."""
    with _running(folder, None) as (server, dsn):
        fill(dsn)
        assert server.stdin is not None
        assert server.stdout is not None
        print(image, file=server.stdin, flush=True)
        if server.stdout.readline().strip() != str(image):
            raise RuntimeError("TimescaleDB for WASM wrote no image; see standard error above.")
    return image


@contextmanager
def _running(folder: Path, image: Path | None) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    with subprocess.Popen(
        (npm.NODE, "server.mjs", *([image] if image else [])),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        if not port:
            raise RuntimeError("TimescaleDB for WASM did not start; see standard error above.")
        try:
            # It asks for a password and takes any.
            yield server, f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
        finally:
            server.kill()  # half a second earlier than it ends by itself, when its input does
