"""Files of alert rules: YAML (or JSON, which is YAML) with a list `rules`."""

import json
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import Invalid
from schemas.rules import Rule

LARGEST = 4 << 20
"""Characters of a file."""


def read_rules(text: str) -> Sequence[Rule]:
    """The rules that a file holds. Raises Invalid that says which of them is wrong, where and how."""
    document = load_yaml(text)
    if not isinstance(document, dict) or set(document) != {"rules"}:
        raise Invalid("bad_rules", "the file must have one key, rules, with a list of rules")
    entries = document["rules"]
    if not isinstance(entries, list):
        raise Invalid("bad_rules", "rules must be a list: one `- name: …` a rule")
    rules = [_rule(position, entry) for position, entry in enumerate(entries)]
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise Invalid("bad_rules", f"{rule.name!r} is there twice")
        seen.add(rule.name)
    return rules


def load_yaml(text: str) -> Any:
    """What a YAML document says, of plain values only. Raises Invalid with line and column."""
    if len(text) > LARGEST:
        raise Invalid("bad_yaml", f"the file is longer than {LARGEST:,} characters")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 # a safe loader that refuses more
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid("bad_yaml", f"no YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses aliases, of which a few lines make gigabytes, and keys that are there twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "aliases are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        for name in names:
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is no name: put it in quotes", node.start_mark
                )
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is there twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _rule(position: int, entry: Any) -> Rule:
    name = entry.get("name") if isinstance(entry, dict) else None
    what = f"rule {name!r}" if isinstance(name, str) else f"rule {position + 1}"
    try:
        # Through JSON: there a list may stand for a tuple, and nothing but what JSON has comes through.
        rule = Rule.model_validate_json(json.dumps(entry, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Invalid("bad_rules", f"{what}: {_told(error)}") from error
    if ":" in rule.name:
        raise Invalid("bad_rules", f"{what}: belongs to a definition; set its alert_threshold")
    return rule


def _told(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'the rule'}: {one['msg'].removeprefix('Value error, ')}"
        for one in error.errors()
    )
