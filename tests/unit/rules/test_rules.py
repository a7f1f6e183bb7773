"""What a rule may say, what is refused, and how files of them are read."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.durations import parse, spell
from schemas.errors import Invalid
from schemas.rule_files import read_rules
from schemas.rules import Rule

P95 = {
    "name": "slow",
    "metric": "http_req_duration",
    "match": ["name=list", "host=~web.*"],
    "function": "p95",
    "window": "30s",
    "operator": ">",
    "warning": 400,
    "critical": 500.5,
    "clear": 350,
    "for": "1m",
}


def rule(**changes: Any) -> Rule:
    """The rule of above with changes; None takes a field away."""
    fields = {key: value for key, value in (P95 | changes).items() if value is not None}
    return Rule.model_validate_json(json.dumps(fields))


@given(st.integers(0, 366 * 24 * 3600 * 1000))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    """Both ways, to the millisecond."""
    duration = timedelta(milliseconds=milliseconds)
    assert parse(spell(duration)) == duration


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "5m1h", "1.5h", "367d", "5M", "\u0665m"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With how it is written."""
    with pytest.raises(ValueError, match=r"30s, 5m or 1h30m|longer than a year"):
        parse(text)


def test_a_rule_says_itself_in_words() -> None:
    """For people: condition, percentile, matchers."""
    found = rule()
    assert found.condition == "p95(http_req_duration{name=list, host=~web.*}) over 30s"
    assert found.percentile == 0.95
    assert [one.operator for one in found.matchers] == ["=", "=~"]
    assert rule(change="percent").condition.startswith("change in per cent of p95(")
    gone = {"function": None, "window": None, "operator": None, "warning": None, "critical": None}
    absent = rule(**gone, clear=None, absent_for="5m", match=[])
    assert absent.condition == "http_req_duration absent for 5m"
    assert absent.percentile is None
    assert Rule.model_validate_json(found.model_dump_json(by_alias=True)) == found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"function": "median"}, "String should match pattern"),
        ({"window": None}, "window belongs to every function but value"),
        ({"function": "value"}, "window belongs to every function but value"),
        ({"window": "1s200ms"}, "multiple of 500ms"),
        ({"window": "0s"}, "longer than 0s"),
        ({"window": "25h"}, "at most 1d"),
        ({"warning": None, "critical": None, "clear": None}, "warning, critical or both"),
        ({"operator": None}, "needs an operator"),
        ({"critical": 300, "clear": None}, "further out than warning"),
        ({"clear": 450}, "on the good side"),
        ({"operator": "==", "critical": None}, "clear goes with"),
        ({"operator": "==", "clear": None}, "there is one level"),
        ({"absent_for": "5m"}, "or absent_for"),
        ({"match": ["host~web"]}, "must be a label, one of"),
        ({"match": ["host=~("]}, "RE2 refuses"),
        ({"name": "-x"}, "letters, digits"),
        ({"critical": 1e300}, "less than or equal to"),
        ({"annotations": {"a b": "x"}}, "is no label name"),
        ({"annotations": {"a": "x\0"}}, "U+0000"),
        ({"frequency": "5m"}, "Extra inputs"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_what_a_rule_may_not_say_is_told(changes: dict[str, Any], told: str) -> None:
    """Each mistake, in words that say what is wrong."""
    with pytest.raises(ValidationError) as refused:
        rule(**changes)
    assert told in str(refused.value)


FILE = """
rules:
  - name: slow
    metric: http_req_duration
    function: p95
    window: 30s
    operator: ">"
    critical: 500
    annotations: {summary: "{{ labels.name }} is at {{ value }}"}
  - {name: silent, metric: up, absent_for: 5m}
"""


def test_a_file_holds_rules() -> None:
    """In the order of the file."""
    assert [one.name for one in read_rules(FILE, "x.yaml")] == ["slow", "silent"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "x.yaml has 0 documents"),
        ("rules: 5", "rules must be a list"),
        ("rules: [5]", "rule 1: "),
        ("groups: []", "one key, rules"),
        (FILE.replace("30s", "30 s"), "rule 'slow': window: '30 s' is no duration"),
        (FILE.replace("name: silent", "name: slow"), "'slow' is there twice"),
        (
            FILE.replace("metric: up", "metric: up, metric: down"),
            "line 10, column 32: 'metric' is given twice",
        ),
        (FILE.replace("critical: 500", "critical: .inf"), "must be a finite number"),
        (FILE.replace("critical: 500", "critical: 2026-01-01"), "write it in quotes"),
        (FILE.replace("name: slow", "name: definition:x"), "alert_threshold"),
        ("rules: &a [*a]", "anchors and aliases"),
        ("rules: [", "x.yaml is no YAML"),
    ],
)
def test_a_bad_file_says_what_and_where(text: str, told: str) -> None:
    """Nothing of it is taken."""
    with pytest.raises(Invalid) as refused:
        read_rules(text, "x.yaml")
    assert told in str(refused.value)
