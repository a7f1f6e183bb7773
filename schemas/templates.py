"""Texts with places to fill in: `{{ labels.host }}`, `{{ value }}`, `{{ secret://env/NAME }}`. Pure.

A text is cut into pieces once, before it meets an alert. What is filled in is never looked at again: a
label that reads `{{ value }}`, `$(reboot)` or `secret://env/NAME` is put there as these very characters.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

LONGEST = 65_536
"""Characters of a text that was filled in: alerts may have labels of any length."""

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_NAMES = ("value", "threshold", "level", "rule", "fingerprint", "condition")
_MAP = re.compile(r"(labels|annotations)\.([a-zA-Z_][a-zA-Z0-9_.]*)", re.ASCII)
_SECRET = re.compile(r"secret://(env/[A-Za-z_][A-Za-z0-9_]*|file/[A-Za-z0-9._/-]+)", re.ASCII)


@dataclass(frozen=True)
class Facts:
    """What is known of an alert, as text; `value` and `threshold` are numbers or None."""

    level: str
    rule: str
    fingerprint: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None
    threshold: float | None = None
    condition: str = ""


@dataclass(frozen=True)
class Place:
    """A place to fill in: `of` a mapping (labels, annotations), or of the alert itself, or a secret."""

    name: str
    of: str = ""

    @property
    def secret(self) -> bool:
        """Whether it names a secret."""
        return self.of == "secret"


Pieces: TypeAlias = tuple[str | Place, ...]
Quote: TypeAlias = Callable[[str], str]
Reveal: TypeAlias = Callable[[str], str]


def cut(text: str) -> Pieces:
    """The pieces of a text. Raises ValueError for a place that means nothing.

    A text that is a reference to a secret and nothing else needs no braces.
    """
    if text.startswith("secret://"):
        return (_place(text),)
    pieces: list[str | Place] = []
    end = 0
    for found in _PLACE.finditer(text):
        pieces += [text[end : found.start()], _place(found[1])]
        end = found.end()
    pieces.append(text[end:])
    if any(isinstance(piece, str) and "{{" in piece for piece in pieces):
        raise ValueError("has {{ without }}")
    return tuple(piece for piece in pieces if piece)


def places(text: str) -> list[Place]:
    """The places of a text, in order. Raises ValueError as `cut`."""
    return [piece for piece in cut(text) if isinstance(piece, Place)]


def fill(text: str, facts: Facts, *, reveal: Reveal, quote: Quote = str) -> str:
    """The text with its places filled in; `quote` is applied to what comes from the alert.

    `reveal` gives what stands for a secret. Raises ValueError for a label or annotation that the alert
    does not have, for U+0000, and for a text that becomes too long.
    """
    parts = []
    for piece in cut(text):
        if isinstance(piece, str):
            parts.append(piece)
        elif piece.secret:
            parts.append(reveal(piece.name))
        else:
            parts.append(quote(_found(piece, facts)))
    filled = "".join(parts)
    if len(filled) > LONGEST:
        raise ValueError(f"becomes {len(filled)} characters long: the limit is {LONGEST}")
    if "\0" in filled:
        raise ValueError("would hold U+0000")
    return filled


def spell(number: float | None) -> str:
    """A number for people; None is of an alert for absence."""
    return "no data" if number is None else f"{number:.10g}"


def _place(text: str) -> Place:
    if text in _NAMES:
        return Place(text)
    if found := _MAP.fullmatch(text):
        return Place(found[2], found[1])
    if found := _SECRET.fullmatch(text):
        if ".." in found[1].split("/"):
            raise ValueError("names a file outside: write secret://file/NAME")
        return Place(text, "secret")
    raise ValueError(
        f"has no meaning for {text[:80]!r}: there are labels.NAME, annotations.NAME, "
        f"{', '.join(_NAMES)}, secret://env/NAME and secret://file/NAME"
    )


def _found(place: Place, facts: Facts) -> str:
    if place.of:
        known: Mapping[str, str] = getattr(facts, place.of)
        if place.name not in known:
            raise ValueError(f"needs {place.of}.{place.name}, which this alert does not have")
        return known[place.name]
    found = getattr(facts, place.name)
    return found if isinstance(found, str) else spell(found)
