"""Prometheus rule files as alert rules: what can be taken over, and why the rest can't."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import Invalid
from schemas.promql import Comparison, read_comparison
from schemas.rule_files import rule_of, the_one
from schemas.rules import Rule

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_LABEL = re.compile(r"\$labels\.([a-zA-Z_][a-zA-Z0-9_]*)", re.ASCII)
_ODD = re.compile(r"[^a-zA-Z0-9._-]+")
_KNOWN = {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}


@dataclass(frozen=True)
class Refusal:
    """What is not taken over, of which group and rule, and why."""

    group: str
    rule: str
    why: str


@dataclass
class Imported:
    """What a file came to. What is left out of a rule, or told otherwise, is among the refusals; the rule is not."""

    rules: list[Rule] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def import_rules(text: str, name: str) -> Imported:
    """Take over the alerts of a Prometheus rule file called `name`. Raises Invalid for what is no such file.

    Each has the name of its alert, made valid and numbered where there are several. An alert whose label
    severity is warning has a warning level, any other a critical one.
    """
    document = the_one(text, name)
    groups = document.get("groups") if isinstance(document, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise Invalid(
            "bad_rules", f"{name} must have a list `groups`, as Prometheus' rule files do"
        )
    imported = Imported()
    for group in groups:
        _group(group, imported)
    return imported


def _group(group: Mapping[str, Any], imported: Imported) -> None:
    name = str(group.get("name", ""))
    entries = group.get("rules")
    if not isinstance(entries, list):
        raise Invalid("bad_rules", f"group {name!r}: rules must be a list")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Invalid("bad_rules", f"group {name!r}: rule {position + 1} must be a mapping")
        alert = str(entry.get("alert", entry.get("record", f"rule {position + 1}")))
        taken = {rule.name for rule in imported.rules}
        try:
            rule, left_out = _rule(entry, alert, group, taken=taken)
        except Invalid as error:
            imported.refusals.append(Refusal(name, alert, str(error)))
        else:
            imported.rules.append(rule)
            imported.refusals += [Refusal(name, alert, why) for why in left_out]


def _rule(
    entry: Mapping[str, Any], alert: str, group: Mapping[str, Any], *, taken: set[str]
) -> tuple[Rule, list[str]]:
    if "alert" not in entry:
        raise Invalid("bad_rules", "a recording rule: rollups are kept of every metric")
    if unknown := entry.keys() - _KNOWN:
        raise Invalid("bad_rules", f"{', '.join(sorted(map(str, unknown)))} is not known")
    found = read_comparison(str(entry.get("expr", "")))
    labels = _texts(group.get("labels"), "labels") | _texts(entry.get("labels"), "labels")
    annotations, left_out = {}, []
    for name, text in _texts(entry.get("annotations"), "annotations").items():
        try:
            annotations[name] = _template(text)
        except Invalid as error:
            left_out.append(f"annotation {name} is left out: {error}")
    if found.by_second and any("{{ value }}" in text for text in annotations.values()):
        left_out.append(
            "increase is told as the rate that it is compared by: $value is by the second"
        )
    if any("{{" in text for text in labels.values()):
        raise Invalid("bad_rules", "a label with a template: labels name an alert and must stay")
    fields = _fields(found) | {
        "name": _free(alert, taken),
        "warning" if labels.get("severity") == "warning" else "critical": found.limit,
        "labels": labels,
        "annotations": annotations,
        "for": entry.get("for", "0s"),
        "keep_firing_for": entry.get("keep_firing_for", "0s"),
    }
    if "interval" in group:
        fields["interval"] = group["interval"]
    if group.get("limit"):
        fields["limit"] = group["limit"]
    return rule_of(fields), left_out


def _fields(found: Comparison) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "metric": found.metric,
        "match": list(found.match),
        "function": found.function,
        "operator": found.operator,
    }
    if found.window is not None:
        fields["window"] = f"{found.window.total_seconds() * 1000:.0f}ms"
    if found.group_by is not None:
        fields["group_by"] = list(found.group_by)
    return fields


def rule_name(alert: str) -> str:
    """The name of a rule that is taken over, from that of its alert."""
    return _ODD.sub("-", alert).strip("-.")[:120] or "alert"


def _free(alert: str, taken: set[str]) -> str:
    name = rule_name(alert)
    return next(
        one
        for one in (name, *(f"{name}-{n}" for n in range(2, len(taken) + 3)))
        if one not in taken
    )


def _texts(given: Any, what: str) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(one, str | int) for one in given.values()):
        raise Invalid("bad_rules", f"{what} must be texts by name")
    return {
        name: text if isinstance(text, str) else json.dumps(text) for name, text in given.items()
    }


def _template(text: str) -> str:
    def place(found: "re.Match[str]") -> str:
        label = _LABEL.fullmatch(found[1])
        if label is None and found[1] != "$value":
            raise Invalid(
                "bad_template", f"only $labels.name and $value are filled in, not {found[0]}"
            )
        return f"{{{{ labels.{label[1]} }}}}" if label else "{{ value }}"

    return _PLACE.sub(place, text)


def to_json(rules: list[Rule]) -> dict[str, Any]:
    """What `headrace rules apply` reads, as plain values."""
    return {"rules": [json.loads(one.document) for one in rules]}
