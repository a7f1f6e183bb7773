"""Rows for people, or as one JSON object."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def show_rows(what: str, rows: Sequence[dict[str, object]], *, as_json: bool = False) -> None:
    """Print rows, all with the same columns."""
    if as_json:
        print(json.dumps({what: rows}, default=str))
        return
    if not rows:
        print(f"no {what}")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row.values()))
    Console().print(table, markup=False)


def plain(text: str) -> str:
    """Without what a label could do to a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    return plain(" ".join(map(str, cell)) if isinstance(cell, list) else str(cell))
