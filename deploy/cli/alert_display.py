"""Prints alerts, their changes and silences for people, or as JSON."""

import json
from collections.abc import Sequence

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from query.alert_answers import Alert, Change, Silence
from query.alerts import AlertWithHistory

_SHOWN = 12
"""Digits of an id: enough to name it."""


def show_alerts(found: Sequence[Alert], *, as_json: bool) -> None:
    """A table of alerts."""
    if as_json:
        _as_json("alerts", found)
        return
    _table(
        "alerts",
        ("id", "state", "level", "rule", "labels", "value", "since", "by"),
        [
            (
                one.id[:_SHOWN],
                one.state,
                one.level,
                one.rule,
                _pairs(one.labels),
                _number(one.value),
                f"{one.since:%Y-%m-%d %H:%M:%S}",
                _by(one),
            )
            for one in found
        ],
    )


def show_alert(one: AlertWithHistory, *, as_json: bool) -> None:
    """One alert and its changes."""
    if as_json:
        print(one.model_dump_json())
        return
    facts = {
        "alert": f"{one.rule} {{{_pairs(one.labels)}}}",
        "id": one.id,
        "state": f"{one.state} ({one.level}) since {one.since:%Y-%m-%d %H:%M:%S} UTC",
        "condition": f"{one.condition}; value {_number(one.value)}",
        **one.annotations,
        "by": _by(one),
    }
    width = max(map(len, facts))
    console = Console(markup=False, highlight=False)
    for name, text in facts.items():
        if text:
            console.print(f"{name:{width}}  {_plain(text)}", soft_wrap=True)
    _table("changes", ("at", "was", "state", "level", "value"), [_change(c) for c in one.history])


def show_silences(found: Sequence[Silence], *, as_json: bool) -> None:
    """A table of silences."""
    if as_json:
        _as_json("silences", found)
        return
    _table(
        "silences",
        ("id", "state", "matchers", "until", "author", "comment"),
        [
            (
                str(one.id),
                one.state,
                " ".join(one.matchers),
                f"{one.expires_at:%Y-%m-%d %H:%M:%S}",
                one.author,
                one.comment,
            )
            for one in found
        ],
    )


def _change(one: Change) -> tuple[str, ...]:
    was = one.was if one.was != one.state else f"{one.was} ({one.was_level})"
    return f"{one.at:%Y-%m-%d %H:%M:%S}", was, one.state, one.level, _number(one.value)


def _by(one: Alert) -> str:
    """Who takes care of it, or that it is silenced."""
    by = one.acknowledged.author if one.acknowledged else ""
    return f"{by} (silenced)".strip() if one.silenced_by else by


def _pairs(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _plain(text: str) -> str:
    """Without what a label could do to a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _as_json(name: str, found: Sequence[BaseModel]) -> None:
    print(json.dumps({name: [one.model_dump(mode="json") for one in found]}))


def _table(what: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        print(f"no {what}")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(_plain, row))
    Console(markup=False).print(table)
