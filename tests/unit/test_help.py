"""What `--help` and `--version` show."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import typer
from typer.testing import CliRunner

from deploy.cli import build


def _commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command by the words that call it, with its docstring."""
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(one, *path, name)
    if command.callback and path:
        yield path, command.callback.__doc__ or ""


def test_examples_stand_on_lines_of_their_own() -> None:
    """Typer joins those that follow a paragraph of one line."""
    app = build()
    joined = []
    for path, words in _commands(typer.main.get_command(app)):
        shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"}).output
        lines = {line.strip() for line in shown.splitlines()}
        examples = [line.strip() for line in words.splitlines() if line.startswith(" " * 8)]
        joined += [(path, one) for one in examples if one and one not in lines]
    assert joined == []


def test_the_version_is_that_of_the_package() -> None:
    """Asked of the program, not of a command."""
    shown = CliRunner().invoke(build("test"), ["--version"]).output
    assert shown == f"headrace {version('headrace')}\n"
