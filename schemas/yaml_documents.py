"""YAML that people write, as plain data: what JSON can say, and nothing that surprises. Pure."""

from typing import Any

import yaml

from schemas.errors import Invalid

LONGEST = 1024 * 1024
"""Characters of a file."""
_DEEPEST = 30
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")
)


def read(text: str, name: str) -> list[Any]:
    """The documents of a file, without empty ones.

    Raises Invalid, which says where: for what is no YAML, for anchors and aliases (a few lines of them can
    mean gigabytes, or have no end), keys given twice, tags, and values that JSON has no word for.
    """
    if len(text) > LONGEST:
        raise Invalid("bad_yaml", f"{name} is longer than {LONGEST} characters.")
    try:
        # Aliases are seen in the stream of events, before anything is built of them.
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise Invalid("bad_yaml", _at(name, event, "anchors and aliases are not taken"))
        return [
            _plain(node, name, 0)
            for node in yaml.compose_all(text, yaml.SafeLoader)
            if node is not None and node.tag != "tag:yaml.org,2002:null"
        ]
    except (yaml.YAMLError, RecursionError) as error:
        raise Invalid("bad_yaml", f"{name} is no YAML: {error}") from error


def _plain(node: yaml.Node, name: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise Invalid("bad_yaml", _at(name, node, f"more than {_DEEPEST} levels"))
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                raise Invalid("bad_yaml", _at(name, key, "a key must be a word"))
            if key.value in found:
                raise Invalid("bad_yaml", _at(name, key, f"{key.value!r} is given twice"))
            found[key.value] = _plain(value, name, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode) and node.tag in _PLAIN:
        return [_plain(one, name, depth + 1) for one in node.value]
    if node.tag not in _PLAIN:
        what = "write it in quotes" if "timestamp" in node.tag else f"{node.tag} is not taken"
        raise Invalid("bad_yaml", _at(name, node, what))
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node, deep=True)
    except ValueError as error:  # such as an integer of ten thousand digits
        raise Invalid("bad_yaml", _at(name, node, str(error))) from error
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise Invalid("bad_yaml", _at(name, node, "must be a finite number"))
    return value


def _at(name: str, where: Any, what: str) -> str:
    mark = where.start_mark
    return f"{name}, line {mark.line + 1}, column {mark.column + 1}: {what}."
