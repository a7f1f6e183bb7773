"""headrace's own alerts: each says what to do, and does what promtool's tests say."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
import yaml
from click import Group

import deploy
from deploy.cli import build

DEPLOY = Path(deploy.__file__).parent
PROMETHEUS, RUNBOOKS = DEPLOY / "prometheus", DEPLOY / "runbooks"
RULES = PROMETHEUS / "headrace.rules.yml"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


NAMES = [alert["alert"] for alert in alerts()]


def blocks(name: str, language: str) -> list[str]:
    """The blocks of a runbook in one language."""
    text = (RUNBOOKS / f"{name}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    """And says how bad it is, in one line."""
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(NAMES)
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"deploy/runbooks/{alert['alert']}.md"
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in {"warning", "critical"}


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_says_what_it_means_how_to_look_and_what_to_do(name: str) -> None:
    """In this order, with something to type; the commands of ours that it names exist."""
    text = (RUNBOOKS / f"{name}.md").read_text()
    sections = re.findall(r"^## (.*)\n(?=[^\n])", text, re.MULTILINE)
    assert sections == ["Meaning", "Diagnosis", "Mitigation"]
    assert blocks(name, "sh") or blocks(name, "sql")
    shown = [line for block in blocks(name, "sh") for line in block.splitlines()]
    named = re.findall(r"`(headrace [^`]*)`", text)
    for line in [*(one for one in shown if one.startswith("headrace ")), *named]:
        assert_exists(line.split()[1:])
    others = set(re.findall(r"\bHeadrace[A-Z]\w+", text))
    assert others <= set(NAMES)


def assert_exists(words: list[str]) -> None:
    """The command of these words exists; what follows it is an argument."""
    command = typer.main.get_command(build())
    for word in words:
        if not isinstance(command, Group):
            return
        assert word in command.commands, f"headrace {' '.join(words)} is no command"
        command = command.commands[word]
    assert not isinstance(command, Group)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on the PATH")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "headrace.rules.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "headrace.rules.test.yml"),
    ],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """The rules are valid, and each fires when it must and only then."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_both_ways() -> None:
    """Once when it fires, once when it does not."""
    tests = yaml.safe_load((PROMETHEUS / "headrace.rules.test.yml").read_text())["tests"]
    found = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in tests
        for case in test["alert_rule_test"]
    ]
    assert sorted(found) == sorted((name, fires) for name in NAMES for fires in (True, False))
