"""`headrace rules test`: the same files as promtool, the same alerts at the same times."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import Invalid
from schemas.rule_tests import read_tests
from schemas.series_notation import read_series, read_values

DATA = Path(__file__).parents[2] / "data" / "rules"


def rehearse(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, on a file."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", "rules", "test", "-f", str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_function_alerts_when_prometheus_does() -> None:
    """What the file expects is what promtool finds: see the next test."""
    done = rehearse(DATA / "tests.yaml", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout) == {"cases": 448, "failures": []}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_the_same() -> None:
    """The file's expectations, held against Prometheus itself."""
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"],
        cwd=DATA,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_comes_out_otherwise_is_shown(tmp_path: Path) -> None:
    """Test, alert, time, what was expected and what was found; exit code 1."""
    (tmp_path / "rules.yaml").write_text(
        "rules: [{name: hot, metric: heat, function: value, operator: '>', warning: 5, critical: 7, for: 1m,"
        " annotations: {summary: '{{ labels.host }} {{ level }}'}}]"
    )
    (tmp_path / "tests.yaml").write_text(
        """
rule_files: [rules.yaml]
evaluation_interval: 30s
tests:
  - interval: 1m
    input_series: [{series: "heat{host='a'}", values: "1 6 6 6 8 _x9"}]
    alert_rule_test:
      - {eval_time: 1m30s, alertname: hot}
      - {eval_time: 2m, alertname: hot, exp_alerts: [{exp_labels: {host: a}, exp_annotations: {summary: a warning}}]}
      - {eval_time: 4m, alertname: hot, exp_alerts: [{exp_labels: {host: a}, exp_annotations: {summary: a critical}}]}
      - {eval_time: 10m, alertname: hot, exp_alerts: [{exp_labels: {host: b}}]}
"""
    )
    done = rehearse(tmp_path / "tests.yaml")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{tmp_path}/tests.yaml: test 1: hot at 10m"
    assert json.loads(lines[1].removeprefix("    expected ")) == [
        {"labels": {"host": "b"}, "annotations": {}}
    ]
    assert lines[2:] == ["    found    []", "3 of 4 cases passed"]
    (tmp_path / "tests.yaml").write_text(
        "{rule_files: [rules.yaml], tests: [{alert_rule_test: [{eval_time: 1m, alertname: cold}]}]}"
    )
    unknown = rehearse(tmp_path / "tests.yaml")
    assert (unknown.returncode, "there is no rule 'cold'" in unknown.stderr) == (2, True)


def test_time_zero_is_evaluated(tmp_path: Path) -> None:
    """As promtool does: what is bad from the first sample on has been bad for two minutes at the second."""
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, rules: [{alert: Down, expr: up == 0, for: 2m}]}]"
    )
    (tmp_path / "tests.yaml").write_text(
        """
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{series: up, values: '0x5'}]
    alert_rule_test:
      - {eval_time: 1m, alertname: Down}
      - {eval_time: 2m, alertname: Down, exp_alerts: [{}]}
"""
    )
    assert rehearse(tmp_path / "tests.yaml").stdout == "2 of 2 cases passed\n"


def test_series_are_written_as_in_promtool() -> None:
    """Names, labels in either quotes, values that go up, stay, or are not there."""
    assert read_series("up") == ("up", {})
    assert read_series("""up{a="x,}", b='y"',}""") == ("up", {"a": "x,}", "b": 'y"'})
    assert read_values("1 -1.5 1+2x2 3-1x1 5x2 _ _x2") == [
        *(1, -1.5, 1, 3, 5, 3, 2, 5, 5, 5),
        *(None, None, None),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stale", "stale: samples here are never marked so"),
        ("1+2", "is no value"),
        ("x", "is no value"),
        ("1x9999999999", "more than 1,000,000 values"),
        ("1x600000 1x600000", "more than 1,000,000 values"),
        ("1e308+1e308x9", "is not finite"),
    ],
)
def test_values_that_are_none_are_refused(text: str, told: str) -> None:
    """With what is wrong."""
    with pytest.raises(Invalid) as refused:
        read_values(text)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "{a='b'}", "up{a}", "up{a=b}", "up{a='b' c='d'}", "up{a='b',a='c'}"]
)
def test_what_is_no_series_is_refused(text: str) -> None:
    """And not read as something near it."""
    with pytest.raises(Invalid):
        read_series(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{tests: []}", "rule_files: Field required"),
        (
            "{rule_files: [a], tests: [{input_series: [{series: up, values: 0x5}]}]}",
            "tests.0.input_series.0.values: put the values in quotes: here they read as 5",
        ),
        ("{rule_files: [], tests: []}", "rule_files: "),
        ("{rule_files: [a], tests: [{promql_expr_test: []}]}", "tests.0.promql_expr_test: "),
    ],
)
def test_a_bad_file_of_tests_says_where(text: str, told: str) -> None:
    """By field."""
    with pytest.raises(Invalid) as refused:
        read_tests(text, "x.yaml")
    assert told in str(refused.value)
