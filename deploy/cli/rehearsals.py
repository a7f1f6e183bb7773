"""`headrace rules test`: rules over series that somebody wrote down, in the format of promtool."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.cli.access import AsJson
from deploy.cli.files import text_of
from schemas.durations import spell
from schemas.errors import Invalid, Permanent
from schemas.prometheus_rules import import_rules, rule_name
from schemas.rule_files import read_rules, the_one
from schemas.rule_tests import AlertCase, RuleTest, RuleTests, read_tests
from schemas.rules import Rule
from schemas.series_notation import read_series, read_values
from stream.core.rehearsal import Written, rehearse


@dataclass(frozen=True)
class Failure:
    """A case that came out otherwise. Alerts are labels and annotations."""

    file: str
    test: str
    alert: str
    at: str
    expected: list[Any]
    found: list[Any]


def rehearse_rules(
    files: Annotated[
        list[Path],
        typer.Option(
            "--file", "-f", help="A file of tests; repeat it for more.", show_default=False
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Run tests of rules: series in, expected alerts out, as promtool test rules does.

    The engine is that of headrace alerts. `rule_files` may be files of `apply` or of Prometheus; rules
    without an interval of their own are evaluated every `evaluation_interval`. Annotations are those of
    the moment in which an alert began to fire, or changed its level. Exit code 1: a case failed.

        headrace rules test -f tests.yaml
    """
    failures: list[Failure] = []
    cases = 0
    try:
        for file in files:
            tests = read_tests(text_of(file), str(file))
            rules = list(_rules(file, tests))
            for position, test in enumerate(tests.tests):
                cases += len(test.alert_rule_test)
                failures += _run(file, test, test.name or f"test {position + 1}", rules)
    except Invalid as error:
        raise Permanent(str(error)) from error
    if as_json:
        told = [vars(one) for one in failures]
        print(json.dumps({"cases": cases, "failures": told}))
    else:
        for one in failures:
            print(f"{one.file}: {one.test}: {one.alert} at {one.at}")
            print(f"    expected {json.dumps(one.expected, ensure_ascii=False)}")
            print(f"    found    {json.dumps(one.found, ensure_ascii=False)}")
        print(f"{cases - len(failures)} of {cases} cases passed")
    if failures:
        raise typer.Exit(1)


def _rules(file: Path, tests: RuleTests) -> Iterator[Rule]:
    for name in tests.rule_files:
        path = file.parent / name
        text = text_of(path)
        document = the_one(text, str(path))
        if isinstance(document, dict) and "groups" in document:
            imported = import_rules(text, str(path))
            for refusal in imported.refusals:
                typer.echo(f"{path}: {refusal.rule} is left out: {refusal.why}", err=True)
            rules: Sequence[Rule] = imported.rules
        else:
            rules = read_rules(text, str(path))
        for rule in rules:
            if "interval" in rule.model_fields_set:
                yield rule
            else:
                yield rule.model_copy(update={"interval": tests.evaluation_interval})


def _run(file: Path, test: RuleTest, name: str, rules: Sequence[Rule]) -> Iterator[Failure]:
    series = [
        Written(*read_series(one.series), read_values(one.values)) for one in test.input_series
    ]
    interval = test.interval or timedelta(minutes=1)
    firing = rehearse(rules, series, interval, [case.eval_time for case in test.alert_rule_test])
    for case in test.alert_rule_test:
        alert = rule_name(case.alertname)
        if all(rule.name != alert for rule in rules):
            raise Invalid("unknown_rule", f"{file}: {name}: there is no rule {case.alertname!r}")
        found = [
            {"labels": one.labels, "annotations": one.annotations}
            for one in firing[case.eval_time]
            if one.rule == alert
        ]
        expected = _expected(case)
        if sorted(map(_key, found)) != sorted(map(_key, expected)):
            yield Failure(str(file), name, case.alertname, spell(case.eval_time), expected, found)


def _expected(case: AlertCase) -> list[dict[str, dict[str, str]]]:
    return [
        {"labels": one.exp_labels, "annotations": one.exp_annotations} for one in case.exp_alerts
    ]


def _key(alert: dict[str, dict[str, str]]) -> str:
    return json.dumps(alert, sort_keys=True)
