"""`headrace k6`: load tests, one module a command."""

import sys
from importlib import import_module

import typer

_COMMANDS = {
    "run": ("run",),
    "resume": ("resume", "deliver"),
    "imports": ("import",),
    "consume": ("consume", "end"),
    "backfill": ("backfill",),
    "summary": ("summary",),
    "report": ("report",),
    "compare": ("compare",),
    "baseline": ("baseline",),
}
"""Module of this package → its commands, in the order of `--help`."""


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI; only the one that is asked for, where there is such a command.

    Those that read results take a second to import, which a load test need not wait for.
    """
    k6 = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help="Run k6 with its points going to Kafka, and see what its runs came to.",
    )
    # Without a callback Typer makes the only command the application itself.
    k6.callback()(lambda: None)
    words = [word for word in sys.argv[1:] if not word.startswith("-")][1:2]
    wanted = [module for module, commands in _COMMANDS.items() if set(words) & set(commands)]
    for module in wanted or _COMMANDS:
        import_module(f"{__name__}.{module}").register(k6)
    app.add_typer(k6, name="k6")
