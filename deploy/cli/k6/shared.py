"""What the k6 commands share: options, lines for people, how a bridge's work is told."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.local.ports import Ports
from producers.k6.outcome import RunResult
from producers.k6.urls import Folding, Urls
from schemas.settings import Settings

LOST, KEPT = 74, 75
"""Exit codes (of sysexits.h) where points are lost, or kept on disk. k6's own are 97 to 110."""

UrlRules = Annotated[
    list[str] | None,
    typer.Option(
        "--url-rule",
        envvar="HEADRACE_URL_RULES",
        metavar="REGEX=>TEXT",
        help="Replace what the expression finds in a URL, before the default rule (repeatable; in the "
        "environment with spaces between).",
    ),
]
UrlFolding = Annotated[
    bool,
    typer.Option(
        envvar="HEADRACE_URL_FOLDING",
        help="Drop query strings, and write ids in paths as {id}; requests with a name tag keep it.",
    ),
]
ExecutionId = Annotated[
    UUID | None, typer.Option(help="The run's id, a UUID, instead of a new one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")]

_console = Console(stderr=True, soft_wrap=True, highlight=False)


def folding(rules: list[str] | None, *, by_default: bool) -> Folding:
    """How URLs are to be folded. Raises Permanent where a rule can't be read."""
    found = Folding(tuple(rules or ()), by_default)
    Urls(found)
    return found


def conclude(result: RunResult, settings: Settings, *, as_json: bool) -> NoReturn:
    """Tell what became of a run, and exit with the code that says it."""
    tell(result, settings)
    if as_json:
        print(json.dumps(_facts(result)))
    sys.exit(result.exit_code if result.delivered else KEPT if result.kept else LOST)


def tell(result: RunResult, settings: Settings) -> None:
    """Tell what became of a run."""
    if result.malformed:
        say(f"unreadable lines of k6's output: {result.malformed:,}; the first: {result.complaint}")
    if result.adapted:
        say(f"tag sets changed to be valid labels (keys [a-zA-Z0-9_.], 1 KiB): {result.adapted:,}")
    if not result.recorded:
        say("k6 did not start; no run was recorded")
    elif result.delivered:
        where = result_url(settings, result.execution_id)
        say(f"run {result.execution_id}: {result.sent:,} points delivered; {where}")
    elif result.kept:
        say(
            f"run {result.execution_id}: k6 ended with {result.exit_code}, but {result.problem}: "
            f"{result.sent:,} points are delivered, the others kept in {result.kept}. "
            f"Deliver them: headrace k6 deliver {result.kept}"
        )
    else:
        say(f"run {result.execution_id}: {result.problem}")


def result_url(settings: Settings, execution_id: UUID) -> str:
    """Where the local query API shows a run's summary."""
    return f"{Ports(settings.port_offset).url('api')}/api/v1/runs/{execution_id}/summary"


def spool_folder(settings: Settings) -> Path:
    """Where points wait that Kafka did not take."""
    return settings.home / "spool"


def quiet() -> None:
    """Keep client libraries out of the terminal."""
    # aiokafka logs each failed connection, all through an outage, into k6's progress bar.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)


def say(text: str) -> None:
    """Print a line for people, on stderr."""
    with suppress(OSError):  # the terminal may be closed while points are still to be delivered
        _console.print(f"[bold cyan]headrace:[/] {escape(text)}")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress where there is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    # Where there is no terminal to clear it from, the bar would leave a blank line.
    off = not _console.is_terminal
    with Progress(*columns, console=_console, transient=True, disable=off) as bar:
        yield bar


def _facts(result: RunResult) -> dict[str, Any]:
    return {
        "execution_id": str(result.execution_id),
        "exit_code": result.exit_code,
        "recorded": result.recorded,
        "points": {"sent": result.sent, "read": result.read, "malformed": result.malformed},
        "envelopes": result.envelopes,
        "spooled_bytes": result.spooled_bytes,
        "partitions": [one.model_dump() for one in result.partitions],
        "delivered": result.delivered,
        "kept": str(result.kept) if result.kept else None,
    }
