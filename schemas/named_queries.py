"""SQL files of named queries: `-- name: x` opens one, its `--` lines describe it, the rest is the text."""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


def load(package: str, filename: str) -> dict[str, str]:
    """Queries of a package's SQL file by name. Raises ValueError for a name given twice."""
    text = resources.files(package).joinpath(filename).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    queries = {name: body.strip() for name, body in zip(names, bodies, strict=True)}
    if len(queries) != len(names):
        raise ValueError(f"{package}/{filename} names a query twice")
    return queries
