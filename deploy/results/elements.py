"""Pieces of the report's page: tables, cells, sections. Text goes in as it is and comes out escaped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from deploy.results import wording
from query.results import MOST_LISTED


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, not yet escaped, and its class."""

    text: str
    style: str = ""
    badge: bool = False


def section(title: str, content: str) -> str:
    """A part of the page; `content` is HTML."""
    return f"<section><h2>{text(title)}</h2>{content}</section>\n"


def card(head: Sequence[str], rows: Sequence[Sequence[Cell]], empty: str) -> str:
    """A table in a box; where it has no rows, `empty` says so."""
    if not rows:
        return f'<div class="card"><p class="empty">{text(empty)}</p></div>'
    more = (
        f'<p class="faint">Only the first {MOST_LISTED:,} are shown.</p>'
        if len(rows) >= MOST_LISTED
        else ""
    )
    return f'<div class="card">{table(head, rows)}{more}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A column whose title ends with * holds numbers."""
    titles = "".join(
        f'<th class="n">{text(title[:-1])}</th>'
        if title.endswith("*")
        else f"<th>{text(title)}</th>"
        for title in head
    )
    lines = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(cell: Cell) -> str:
    if cell.badge:
        return f'<td><span class="badge {cell.style}">{text(cell.text)}</span></td>'
    return (
        f'<td class="{cell.style}">{text(cell.text)}</td>'
        if cell.style
        else f"<td>{text(cell.text)}</td>"
    )


def text(hostile: str) -> str:
    """A text as HTML, without what no document may hold or what turns the direction of the rest."""
    return escape(wording.clean(" ".join(hostile.split())))
