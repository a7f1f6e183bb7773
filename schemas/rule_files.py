"""Files of alert rules: YAML (or JSON, which is YAML) with a list `rules`."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from schemas import yaml_documents
from schemas.errors import Invalid
from schemas.faults import faults
from schemas.rules import Rule


def read_rules(text: str, name: str) -> Sequence[Rule]:
    """The rules that a file called `name` holds. Raises Invalid that says which is wrong, where and how."""
    document = the_one(text, name)
    if not isinstance(document, dict) or set(document) != {"rules"}:
        raise Invalid("bad_rules", f"{name} must have one key, rules, with a list of rules")
    entries = document["rules"]
    if not isinstance(entries, list):
        raise Invalid("bad_rules", f"{name}: rules must be a list, with one `- name: …` a rule")
    rules = [_rule(name, position, entry) for position, entry in enumerate(entries)]
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise Invalid("bad_rules", f"{name}: {rule.name!r} is there twice")
        seen.add(rule.name)
    return rules


def the_one(text: str, name: str) -> Any:
    """The one document of a file, as plain data. Raises Invalid."""
    documents = yaml_documents.read(text, name)
    if len(documents) != 1:
        raise Invalid("bad_yaml", f"{name} has {len(documents)} documents: it must have one")
    return documents[0]


def rule_of(entry: Any) -> Rule:
    """A rule from plain values. Raises Invalid that says which field is wrong, and how."""
    try:
        # Through JSON: there a list may stand for a tuple, and nothing but what JSON has comes through.
        rule = Rule.model_validate_json(json.dumps(entry, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Invalid("bad_rules", told(error)) from error
    if ":" in rule.name:
        raise Invalid("bad_rules", "its name belongs to a definition: set its alert_threshold")
    return rule


def _rule(file: str, position: int, entry: Any) -> Rule:
    name = entry.get("name") if isinstance(entry, dict) else None
    what = f"rule {name!r}" if isinstance(name, str) else f"rule {position + 1}"
    try:
        return rule_of(entry)
    except Invalid as error:
        raise Invalid("bad_rules", f"{file}: {what}: {error}") from error


def told(error: Exception) -> str:
    """What is wrong, field by field."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(faults(error, "the rule"))
