"""Says in words what a rule asks for and what an alert is about."""

import re
from collections.abc import Mapping

from schemas.durations import spell
from schemas.rules import Level, Rule

_PLACE = re.compile(r"\{\{\s*(?:labels\.([a-zA-Z0-9_.]+)|(value|threshold|level))\s*\}\}", re.ASCII)

MOST = 4096
"""Characters of a label's value in a text, which may be very long."""


def threshold_of(rule: Rule, level: Level) -> float | None:
    """What the value is compared with at this level; None for absence."""
    return rule.critical if level == "critical" else rule.warning


def condition(rule: Rule, level: Level) -> str:
    """The rule in words: p95(http_req_duration{name=a}) over 30s > 500."""
    what = rule.metric + (f"{{{', '.join(rule.match)}}}" if rule.match else "")
    if rule.absent_for is not None:
        return f"no {what} for {spell(rule.absent_for)}"
    text = f"{rule.function}({what})"
    if rule.window is not None:
        text += f" over {spell(rule.window)}"
    if rule.change is not None:
        text += ", change in per cent" if rule.change == "percent" else ", change"
    return f"{text} {rule.operator} {number(threshold_of(rule, level))}"


def annotations(
    rule: Rule, labels: Mapping[str, str], value: float | None, level: Level
) -> dict[str, str]:
    """The rule's texts, filled in once: what is put in is not looked at again."""
    words = {
        "value": number(value),
        "threshold": number(threshold_of(rule, level)),
        "level": level,
    }

    def fill(place: re.Match[str]) -> str:
        label, word = place.groups()
        return labels.get(label, "")[:MOST] if label else words[word]

    return {name: _PLACE.sub(fill, text) for name, text in rule.annotations.items()}


def number(value: float | None) -> str:
    """A number as people write it; a word for none."""
    return "none" if value is None else f"{value:.10g}"
