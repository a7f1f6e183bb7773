"""`headrace test`: lint, types, rooms and all tests, with the servers that they need."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

ROOT = Path(__file__).parents[2]
CHECKS = {
    "lint": ("-m", "ruff", "check", "."),
    "format": ("-m", "ruff", "format", "--check", "."),
    "types": ("-m", "mypy", "."),
    "rooms": ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
}


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command(
        "test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
    )(run)


def run(
    context: typer.Context,
    *,
    services: Annotated[
        Literal["local", "docker"],
        typer.Option(help="Where the real servers come from: packages, or containers."),
    ] = "local",
    only: Annotated[
        bool, typer.Option("--tests-only", help="Leave lint, format, types and rooms out.")
    ] = False,
) -> None:
    """Lint, type-check and test headrace on real Kafka, PostgreSQL, Temporal and k6.

    Starts what it needs by itself and stops it again. Everything else goes to pytest. Set
    HEADRACE_TEST_TIMESCALE_DSN to test on a native TimescaleDB too.

        headrace test
        headrace test --tests-only tests/unit -k envelopes
    """
    console = Console(stderr=True)
    failed = []
    for name, argv in {} if only else CHECKS.items():
        console.print(f"[bold]{name}[/]")
        if subprocess.run([sys.executable, *argv], cwd=ROOT, check=False).returncode:
            failed.append(name)
    env = {**os.environ, "HEADRACE_TEST_SERVICES": services}
    # Each of some hundred processes would compile all that it imports.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    # Whole, it waits half of its time: two halves at once, each with servers of its own.
    arguments = context.args or ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    tests = [sys.executable, "-m", "pytest", *arguments]
    status = subprocess.run(tests, cwd=ROOT, env=env, check=False).returncode
    if failed:
        console.print(f"[bold red]failed:[/] {', '.join(failed)}")
    raise typer.Exit(1 if failed or status else 0)
