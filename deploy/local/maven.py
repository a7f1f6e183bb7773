"""Fetches jars by their Maven coordinates with jgo, and makes the lock file.

After changing ROOTS or Kafka's version, `python -m deploy.local.maven` writes the lock anew.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import requests
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

from deploy.local.jars import KAFKA_VERSION, LOCK, Jar, sha256
from deploy.local.program import CannotPrepareError, Report

# Kafka asks for slf4j 1.7 but for no binding of it: without one it logs nothing.
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
ATTEMPTS = 4


def fetch(jars: list[Jar], cache: Path, report: Report) -> None:
    """Download jars into the cache, eight at a time, reporting megabytes.

    Raises:
        CannotPrepareError: one can't be fetched after several attempts.
    """
    total, done, lock = sum(jar.size for jar in jars), 0, threading.Lock()

    @contextmanager
    def count(_file: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield add

    def add(size: int) -> None:
        nonlocal done
        with lock:
            before, done = done, done + size
            if before // 2**19 != done // 2**19:
                report(f"fetching Kafka {KAFKA_VERSION}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")

    cache.mkdir(parents=True, exist_ok=True)
    # jgo writes in place; a scratch folder and a rename make an interrupted download harmless.
    for old in cache.glob("fetching-*"):
        if time.time() - old.stat().st_mtime > 3600:  # noqa: PLR2004 - an hour: nobody fetches there now
            shutil.rmtree(old, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix="fetching-", dir=cache))
    maven = MavenContext(
        PythonResolver(progress_callback=count), repo_cache=scratch, local_repos=[], timeout=30
    )
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda jar: _fetch_one(jar, maven, cache), jars))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch_one(jar: Jar, maven: MavenContext, cache: Path) -> None:
    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    problem = ""
    for attempt in range(ATTEMPTS):
        time.sleep(0.5 * (2**attempt - 1))
        try:
            path = artifact.resolve()
        except (requests.RequestException, RuntimeError) as error:
            problem = str(error)
        else:
            if sha256(path) == jar.sha256:
                path.replace(cache / jar.file)
                return
            problem = "its SHA-256 is not the locked one"
        if artifact.cached_path:
            artifact.cached_path.unlink(missing_ok=True)
    raise CannotPrepareError(
        f"{jar.group}:{jar.artifact}:{jar.version} can't be fetched: {problem}\n"
        "Check the network or the proxy variables and run the command again; "
        f"what was fetched is kept in {cache}."
    )


def write_lock() -> None:
    """Resolve ROOTS with all they need, fetch it, and write the lock file."""
    with tempfile.TemporaryDirectory() as scratch:
        maven = MavenContext(repo_cache=Path(scratch), local_repos=[])
        roots = [
            maven.create_dependency(replace(Coordinate.parse(root), scope="runtime"))
            for root in ROOTS
        ]
        inputs, transitive = maven.resolver.resolve(roots)
        lines = []
        for dependency in (*inputs, *transitive):
            path = dependency.artifact.resolve()
            coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            lines.append(f"{coordinate} {path.stat().st_size} {sha256(path)}\n")
    LOCK.write_text("".join(sorted(lines)))


if __name__ == "__main__":
    write_lock()
