"""The command line: `headrace COMMAND`, one module a subject, loaded only when it is asked for."""

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from schemas.errors import HeadraceError, Permanent

SUBJECTS: dict[str, tuple[str, ...]] = {
    "stack": ("up", "down", "status", "logs", "doctor"),
    "demo": ("demo", "items"),
    "k6": ("k6",),
    "migrate": ("migrate",),
    "tenants": ("tenants",),
    "rules": ("rules",),
    "alert": ("alert",),
    "notifications": ("notifications",),
    "storage": ("storage",),
    "playbooks": ("playbooks",),
    "remediation": ("remediation",),
    "gateway": ("gateway",),
    "ingest": ("ingest",),
    "alerts": ("alerts",),
    "worker": ("worker",),
    "api": ("api",),
    "bench": ("bench",),
    "test": ("test",),
}
"""Module of this package → the commands it registers, in the order of `--help`."""

FAILED, MISUSED = 1, 2


def build(wanted: str | None = None) -> typer.Typer:
    """The application; with only the subject of command `wanted` where there is such a command.

    Importing everything takes seconds (Temporal, Faust, Arrow), and most calls need little of it.
    """
    app = typer.Typer(
        help="Event-driven metrics ingestion: Kafka to TimescaleDB exactly once, and load-test verdicts. "
        "Begin with `headrace demo`.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # Without a callback Typer makes the only command of a subject the application itself.
    app.callback()(_root)
    only = [subject for subject, commands in SUBJECTS.items() if wanted in commands]
    for subject in only or SUBJECTS:
        import_module(f"deploy.cli.{subject}").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"headrace {version('headrace')}")
        raise typer.Exit


def _root(
    *,
    shown: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def _complain(text: str) -> None:
    print(f"headrace: {text}", file=sys.stderr)


def main() -> NoReturn:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."""
    # The version needs no subject: any of them spares importing all.
    without = "test" if "--version" in sys.argv else None
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), without)
    try:
        build(wanted)(prog_name="headrace")
    except ValidationError as error:
        for one in error.errors():
            _complain(f"HEADRACE_{str(one['loc'][0]).upper()}: {one['msg']}, not {one['input']!r}.")
        sys.exit(MISUSED)
    except HeadraceError as error:
        _complain(str(error))
        sys.exit(MISUSED if isinstance(error, Permanent) else FAILED)
    except PermissionError as error:
        _complain(f"{error}. Is the home folder yours? Another: HEADRACE_HOME=/some/folder")
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
