"""Reads the files that commands are given."""

import sys
from pathlib import Path

from schemas.errors import Permanent


def text_of(path: Path) -> str:
    """A file's text; that of stdin for `-`. Raises Permanent where it can't be read."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"{path} can't be read: {error}") from error
