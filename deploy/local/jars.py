"""Kafka's jars: which there are, and whether the cache holds each of them unchanged.

`kafka.lock` lists what resolving Kafka gave, with sizes and SHA-256, so a start resolves nothing
(16 s of POM files) and a half-written or exchanged jar is fetched again.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from deploy.local.program import Report

KAFKA_VERSION = "4.3.0"
LOCK = Path(__file__).with_name("kafka.lock")


@dataclass(frozen=True)
class Jar:
    """One locked jar; its size is in bytes."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file(self) -> str:
        """Its file name in the cache."""
        return f"{self.artifact}-{self.version}.jar"

    def is_in(self, cache: Path) -> bool:
        """Whether the cache holds exactly this jar."""
        path = cache / self.file
        return path.is_file() and path.stat().st_size == self.size and sha256(path) == self.sha256


def locked() -> list[Jar]:
    """The jars of the lock file."""
    jars = []
    for line in LOCK.read_text().splitlines():
        coordinate, size, digest = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, int(size), digest))
    return jars


def cache(runtime: Path) -> Path:
    """Where the jars of this version are kept."""
    return runtime / f"kafka-{KAFKA_VERSION}"


def missing(runtime: Path) -> list[Jar]:
    """Those locked jars that the cache does not hold."""
    return [jar for jar in locked() if not jar.is_in(cache(runtime))]


def class_path(runtime: Path, report: Report) -> list[Path]:
    """All of Kafka's jars, fetching those that are missing.

    All go on the class path, also those that call themselves modules.

    Raises:
        CannotPrepareError: a jar can't be fetched; those that were are kept.
    """
    wanted = missing(runtime)
    if wanted:
        from deploy.local import maven  # noqa: PLC0415 - a third of a second, needed once

        maven.fetch(wanted, cache(runtime), report)
    return [cache(runtime) / jar.file for jar in locked()]


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
