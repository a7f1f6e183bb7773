"""Envelopes on disk: files of length-prefixed envelopes, in order by their names."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from producers.k6.envelopes import Envelope

_FRAME = struct.Struct("<II")
_SUFFIX = ".envelopes"


def path(directory: Path, number: int) -> Path:
    """The file of a segment."""
    return directory / f"{number:08d}{_SUFFIX}"


def write(file: Path, envelopes: Iterable[Envelope]) -> None:
    """Write a segment whole or not at all. Raises OSError."""
    try:
        with file.open("xb") as out:
            for one in envelopes:
                out.write(_FRAME.pack(one.points, len(one.value)))
                out.write(one.value)
    except OSError:
        file.unlink(missing_ok=True)
        raise


def read(file: Path) -> Iterator[Envelope]:
    """The envelopes of a segment."""
    content = file.read_bytes()
    at = 0
    while at < len(content):
        points, size = _FRAME.unpack_from(content, at)
        at += _FRAME.size
        yield Envelope(points, content[at : at + size])
        at += size


def listed(directory: Path) -> list[Path]:
    """The segments of a directory, in order."""
    return sorted(directory.glob(f"*{_SUFFIX}"))
