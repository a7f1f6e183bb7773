"""`headrace k6`: load tests, one module a command."""

import typer

from deploy.cli.k6 import consume, imports, resume, run

_COMMANDS = (run, resume, imports, consume)
"""In the order of `--help`."""


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    k6 = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help="Run k6 with its points going to Kafka, go on where one was cut off, import a finished one, "
        "take runs from a topic.",
    )
    for command in _COMMANDS:
        command.register(k6)
    app.add_typer(k6, name="k6")
