"""What of Prometheus' rule files becomes rules, and what is said of the rest."""

from typing import Any

import pytest
import yaml

from schemas.errors import Invalid
from schemas.prometheus_rules import Imported, import_rules, to_json
from schemas.promql import read_comparison
from schemas.rule_files import read_rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("up > 5", ("value", None, None, ">", 5)),
        ("(up) <= -1e-3", ("value", None, None, "<=", -0.001)),
        ("5 > up", ("value", None, None, "<", 5)),
        ("0.5 == up", ("value", None, None, "==", 0.5)),
        ("up > 5 * 60", ("value", None, None, ">", 300)),
        ("up > 2+3*4", ("value", None, None, ">", 14)),
        ("up > (2 + 3) * 4 - -1", ("value", None, None, ">", 21)),
        ("up > -2 ^ 2 + 2 ^ 3 ^ 2", ("value", None, None, ">", 508)),
        ("up > 7 - 2 - 1", ("value", None, None, ">", 4)),
        ("up > -7 % 4", ("value", None, None, ">", -3)),
        ("1024 ^ 2 / 2 < up", ("value", None, None, ">", 524288)),
        ('{__name__="up"} > 5', ("value", None, None, ">", 5)),
        ('rate({__name__="up"}[5m]) > 5', ("rate", 300, None, ">", 5)),
        ("increase(up[5m]) > 6", ("rate", 300, None, ">", 0.02)),
        ("5 * 3 <= increase(up[1m])", ("rate", 60, None, ">=", 0.25)),
        ("avg_over_time(up[1h30m]) != 0", ("avg", 5400, None, "!=", 0)),
        ("count_over_time( up [ 5m ] )<10", ("count", 300, None, "<", 10)),
        ("quantile_over_time(0.999, up[5m]) > 2", ("p99.9", 300, None, ">", 2)),
        ("quantile_over_time(.5, up[5m]) > 2", ("p50", 300, None, ">", 2)),
        ("sum by (a) (rate(up[5m])) > 2", ("rate", 300, ("a",), ">", 2)),
        ("rate(up[5m]) >= .5", ("rate", 300, None, ">=", 0.5)),
        ("max by (a, b,) (max_over_time(up[5m])) > 1", ("max", 300, ("a", "b"), ">", 1)),
        ("sum(count_over_time(up[30s])) by (a) > 1", ("count", 30, ("a",), ">", 1)),
        ("min(min_over_time(up[30s])) < 1", ("min", 30, (), "<", 1)),
    ],
)
def test_a_comparison_in_the_subset_is_read(text: str, expected: tuple[Any, ...]) -> None:
    """As Prometheus would: function, seconds of its window, group, operator and limit."""
    found = read_comparison(text)
    assert found.metric == "up"
    seconds = found.window and found.window.total_seconds()
    assert expected == (found.function, seconds, found.group_by, found.operator, found.limit)


def test_matchers_are_taken_over() -> None:
    """All four signs; quotes and escapes are Prometheus' own; the name is none of them."""
    assert read_comparison('{a="b", __name__="up"} > 1').match == ("a=b",)
    found = read_comparison(r"""up{a="x,}", b!='y"', c=~"w.*\\d", d!~"",} > 1""")
    assert found.match == ("a=x,}", 'b!=y"', r"c=~w.*\d", "d!~")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("up", "one of > < >= <= == !="),
        ("up > down", "one series expression with one number"),
        ("1 > 2", "one series expression with one number"),
        ("up > 1 and down > 1", "'and' follows the comparison"),
        ("up > bool 1", "bool makes a number"),
        ("up[5m] > 1", "a range wants a function"),
        ("rate(up) > 1", "rate wants a range"),
        ("rate(up[5m:1m]) > 1", "a subquery"),
        ("rate(up[5m] offset 1h) > 1", "offset: a rule looks"),
        ("rate(up[5 m]) > 1", "is no duration"),
        ("absent(up) > 0", "never had a series"),
        ("histogram_quantile(0.9, up) > 1", "there is no histogram_quantile"),
        ("sum by (a) (increase(up[5m])) > 1", "sum of increase: rates are added up here"),
        ("increase(up) > 1", "increase wants a range"),
        ('{__name__=~"up|down"} > 1', "__name__ must be = its name"),
        ('up{__name__="up"} > 1', "__name__ must be = its name, once"),
        ("2 * up > 1", "arithmetic is for numbers"),
        ("-up > 1", "arithmetic is for numbers"),
        ("up > 1 / 0", "1 / 0 is no number"),
        ("up > (0 - 8) ^ 0.5", "-8 ^ 0.5 is no number"),
        ("up > 10 ^ 400", "is no number"),
        ("up > 5 *", "a name is wanted where 'the end' stands"),
        ("sum by (a) (up) > 1", "sum of value over time is not what group_by does"),
        ("avg by (a) (avg_over_time(up[5m])) > 1", "avg of avg over time"),
        ("max without (a) (max_over_time(up[5m])) > 1", "without: say by which"),
        ("max(max(max_over_time(up[5m]))) > 1", "must be of a function over time"),
        ("quantile_over_time(1, up[5m]) > 1", "from 0 to below 1"),
        ("{a='b'} > 1", "needs the name of its metric"),
        ("up * 2 > 1", "'*'"),
        ("up{a=b} > 1", "a string is wanted"),
        ('up{a="~b"} > 1', "a=~b would read as a regular expression here"),
        ('up{a="\\x"} > 1', "the escape \\x"),
        ("", "a name is wanted where 'the end' stands"),
    ],
)
def test_what_no_rule_can_stand_for_is_refused_with_the_reason(text: str, told: str) -> None:
    """And not read as something near it."""
    with pytest.raises(Invalid) as refused:
        read_comparison(text)
    assert told in str(refused.value)


FILE = """
groups:
  - name: web
    interval: 15s
    limit: 7
    labels: {tier: 1}
    rules:
      - alert: High Latency!
        expr: quantile_over_time(0.95, http_req_duration{name="list"}[30s]) > 500
        for: 1m
        keep_firing_for: 5m
        labels: {severity: warning, team: shop}
        annotations:
          summary: "{{ $labels.name }} is at {{ $value }}"
          graph: "{{ $value | humanize }}"
      - alert: Grown
        expr: increase(up{job="a"}[5m]) > 3
        annotations: {summary: "{{ $value }} more"}
      - alert: High Latency!
        expr: up == 0
      - record: job:up:sum
        expr: sum(up)
      - alert: Odd
        expr: up > down
      - alert: Templated
        expr: up > 1
        labels: {host: "{{ $labels.host }}"}
"""


def imported() -> Imported:
    return import_rules(FILE, "x.yml")


def test_a_file_becomes_rules_and_a_list_of_what_does_not() -> None:
    """Names made valid and told apart; the severity decides the level; each refusal has its reason."""
    found = imported()
    slow, grown, down = found.rules
    assert (grown.function, grown.critical) == ("rate", 0.01)
    assert (slow.name, slow.condition) == (
        "High-Latency",
        "p95(http_req_duration{name=list}) over 30s",
    )
    assert (slow.warning, slow.critical, down.warning, down.critical) == (500, None, None, 0)
    assert slow.annotations == {"summary": "{{ labels.name }} is at {{ value }}"}
    assert slow.labels == {"tier": "1", "severity": "warning", "team": "shop"}
    assert slow.limit == 7
    assert [str(one) for one in (slow.wait, slow.keep_firing_for, slow.interval)] == [
        "0:01:00",
        "0:05:00",
        "0:00:15",
    ]
    assert (down.name, down.operator) == ("High-Latency-2", "==")
    assert [(one.rule, one.why.partition(":")[0]) for one in found.refusals] == [
        ("High Latency!", "annotation graph is left out"),
        ("Grown", "increase is told as the rate that it is compared by"),
        ("job:up:sum", "a recording rule"),
        ("Odd", "a rule compares one series expression with one number"),
        ("Templated", "a label with a template"),
    ]


def test_what_is_imported_can_be_applied() -> None:
    """The file that is written is read back as the same rules."""
    found = imported()
    assert list(read_rules(yaml.safe_dump(to_json(found.rules)), "x.yaml")) == found.rules


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: []", "a list `groups`"),
        ("groups: [5]", "a list `groups`"),
        ("groups: [{name: a}]", "group 'a': rules must be a list"),
        ("groups: [{name: a, rules: [5]}]", "rule 1 must be a mapping"),
    ],
)
def test_what_is_no_rule_file_is_refused(text: str, told: str) -> None:
    """With what it should be."""
    with pytest.raises(Invalid) as refused:
        import_rules(text, "x.yml")
    assert told in str(refused.value)
