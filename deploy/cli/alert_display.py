"""Prints alerts, their changes and silences for people, or as JSON."""

import json
from collections.abc import Sequence

from pydantic import BaseModel
from rich.console import Console

from deploy.cli.tables import plain, show_rows
from query.alert_answers import Alert, Change, Silence
from query.alerts import AlertWithHistory

_SHOWN = 12
"""Digits of an id: enough to name it."""


def show_alerts(found: Sequence[Alert], *, as_json: bool) -> None:
    """A table of alerts."""
    if as_json:
        _as_json("alerts", found)
        return
    rows: list[dict[str, object]] = [
        {
            "id": one.id[:_SHOWN],
            "state": one.state,
            "level": one.level,
            "rule": one.rule,
            "labels": _pairs(one.labels),
            "value": _number(one.value),
            "since": f"{one.since:%Y-%m-%d %H:%M:%S}",
            "by": _by(one),
        }
        for one in found
    ]
    show_rows("alerts", rows)


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
            console.print(f"{name:{width}}  {plain(text)}", soft_wrap=True)
    show_rows("changes", [_change(change) for change in one.history])


def show_silences(found: Sequence[Silence], *, as_json: bool) -> None:
    """A table of silences."""
    if as_json:
        _as_json("silences", found)
        return
    rows: list[dict[str, object]] = [
        {
            "id": one.id,
            "state": one.state,
            "matchers": one.matchers,
            "until": f"{one.expires_at:%Y-%m-%d %H:%M:%S}",
            "author": one.author,
            "comment": one.comment,
        }
        for one in found
    ]
    show_rows("silences", rows)


def _change(one: Change) -> dict[str, object]:
    return {
        "at": f"{one.at:%Y-%m-%d %H:%M:%S}",
        "was": one.was if one.was != one.state else f"{one.was} ({one.was_level})",
        "state": one.state,
        "level": one.level,
        "value": _number(one.value),
    }


def _by(one: Alert) -> str:
    """Who takes care of it, or that it is silenced."""
    by = one.acknowledged.author if one.acknowledged else ""
    return f"{by} (silenced)".strip() if one.silenced_by else by


def _pairs(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _as_json(name: str, found: Sequence[BaseModel]) -> None:
    print(json.dumps({name: [one.model_dump(mode="json") for one in found]}))
