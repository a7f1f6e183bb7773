"""An action with everything filled in from an alert: data, ready to be done and to be shown. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import JsonValue

from schemas import templates
from schemas.errors import Invalid
from schemas.playbooks import Doing, Http, Notify, When
from schemas.templates import Facts, Place, Reveal

LONGEST_BODY = 256 * 1024
"""Characters of all texts of a body together."""
_LONGEST_HEADER = 4096


def hidden(name: str) -> str:
    """What stands for a secret where people read it: the reference."""
    return f"({name})"


def applies(whens: tuple[When, ...], facts: Facts, outcomes: Mapping[str, str]) -> bool:
    """Whether a step is done, by the alert and by what came of the steps before it."""
    return all(
        (when.levels is None or facts.level in when.levels)
        and all(facts.labels.get(name) in values for name, values in when.labels.items())
        and (when.step is None or outcomes.get(when.step) == when.was)
        for when in whens
    )


def render(doing: Doing, facts: Facts, reveal: Reveal = hidden) -> dict[str, Any]:
    """What an action is given, as JSON data. Raises Invalid when the alert can't fill it in.

    With `hidden` secrets stay references: that is what is shown, stored and approved.
    """
    given = doing.model_dump(mode="json", exclude={"timeout", "retries"} | _unused(doing))
    try:
        for name, value in given.items():
            if name == "url":
                given[name] = _url(templates.fill(value, facts, reveal=reveal, quote=_part))
            elif name in {
                "action",
                "method",
                "cluster",
                "command",
                "statement",
                "operation",
                "kind",
                "receiver",
            }:
                continue
            else:
                given[name] = _fill(value, facts, reveal)
    except ValueError as error:
        raise Invalid("bad_input", f"{name} {error}.") from error
    if "headers" in given:
        _check_headers(given["headers"])
    if _length(given) > LONGEST_BODY:
        raise Invalid("bad_input", f"It becomes longer than {LONGEST_BODY} characters.")
    return given


def secrets_of(doing: Doing) -> list[Place]:
    """The secrets that an action carries."""
    found: list[Place] = []

    def note(value: JsonValue) -> None:
        if isinstance(value, str):
            found.extend(place for place in templates.places(value) if place.secret)
        elif isinstance(value, list | dict):
            for one in value.values() if isinstance(value, dict) else value:
                note(one)

    if isinstance(doing, Http | Notify):
        note(dict(doing.headers))
    if isinstance(doing, Http):
        note(doing.body)
    return found


def _unused(doing: Doing) -> set[str]:
    """Fields of the way that a notification does not go."""
    if not isinstance(doing, Notify):
        return set()
    return {"receiver"} if doing.receiver is None else {"url", "headers"}


def _fill(value: JsonValue, facts: Facts, reveal: Reveal) -> JsonValue:
    if isinstance(value, str):
        return templates.fill(value, facts, reveal=reveal)
    if isinstance(value, list):
        return [_fill(one, facts, reveal) for one in value]
    if isinstance(value, dict):
        return {name: _fill(one, facts, reveal) for name, one in value.items()}
    return value


def _part(text: str) -> str:
    """A label in a URL: a part of one segment, or of one value, whatever it holds."""
    return quote(text, safe="")


def _url(url: str) -> str:
    path = url.partition("://")[2].partition("?")[0]
    if {"..", "."} & set(path.split("/")) or "//" in path:
        raise ValueError(
            f"would be {url[:200]!r}: a part of its path is missing or leads elsewhere"
        )
    return url


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if len(value) > _LONGEST_HEADER or not value.isprintable():
            raise Invalid(
                "bad_input",
                f"The header {name} must be one line of at most {_LONGEST_HEADER} characters.",
            )


def _length(value: JsonValue) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_length, value))
    return sum(map(_length, value.values())) if isinstance(value, dict) else 0
