"""Durations as Prometheus writes them: `30s`, `1h30m`, `500ms`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_FORM = re.compile(
    "".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS),
    re.ASCII,
)
_LONGEST = timedelta(days=366)


def parse(text: str) -> timedelta:
    """Read a duration of at most a year. Raises ValueError that says how it is written."""
    form = _FORM.fullmatch(text)
    if text == "0":
        return timedelta(0)
    if form is None or not text:
        raise ValueError(f"{text!r} is no duration: write for example 30s, 5m or 1h30m")
    given = [int(number or 0) for number in form.groups()]
    seconds = sum(n * unit.total_seconds() for n, unit in zip(given, _UNITS.values(), strict=True))
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than a year")
    return timedelta(seconds=seconds)


def spell(duration: timedelta) -> str:
    """Write a duration; what `parse` reads back."""
    left = duration
    parts = []
    for name, unit in _UNITS.items():
        n, left = divmod(left, unit)
        if n:
            parts.append(f"{n}{name}")
    return "".join(parts) or "0s"


def _read(given: object) -> object:
    return parse(given) if isinstance(given, str) else given


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(spell, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["30s", "5m", "1h30m"]}),
]
"""A field that is written as text and read as timedelta."""
