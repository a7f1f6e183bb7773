"""`headrace k6 resume` and `deliver`: runs whose bridge was killed, or had to leave points on disk."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import UUID

import typer

from deploy.cli.context import resolve
from deploy.cli.k6.shared import (
    KEPT,
    LOST,
    Json,
    conclude,
    progress_bar,
    quiet,
    say,
    spool_folder,
    tell,
)
from producers.k6.folder import is_idle, unfinished
from producers.k6.outcome import RunResult
from producers.k6.run import resume_run
from schemas.errors import Permanent
from schemas.settings import Settings

Which = Annotated[
    str | None,
    typer.Argument(
        metavar="DIR|EXECUTION",
        help="A run's folder, or its id. By default the only one here that nobody works on.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `headrace k6`."""
    app.command("resume")(resume)
    app.command("deliver")(deliver)


def resume(which: Which = None, *, as_json: Json = False) -> NoReturn:
    """Go on with a run whose bridge was killed.

    k6 may still be running, or have ended meanwhile: each point is sent once. What Kafka has already is
    read from its topic, which must still hold it (a week by default). Ctrl-C stops this and leaves k6
    running.

        headrace k6 resume
        headrace k6 resume .headrace/spool/0190f1c4-….a1b2c3

    Exit code: k6's, once everything is delivered; **75** where it is stopped before.
    """
    settings = Settings()
    quiet()
    found = _found(settings, which)
    if not found:
        raise Permanent(f"There is no run to go on with in {spool_folder(settings)}.")
    if len(found) > 1:
        several = ", ".join(map(str, found))
        raise Permanent(f"Which of these? {several}. (`headrace k6 deliver` goes on with all.)")
    conclude(_resumed(settings, found[0]), settings, as_json=as_json)


def deliver(which: Which = None) -> None:
    """Deliver what runs had to keep on disk: `resume` of all there are, one by one, with exit code 0.

    headrace k6 deliver
    """
    settings = Settings()
    quiet()
    found = _found(settings, which)
    if not found:
        say(f"nothing is kept in {spool_folder(settings)}")
    for one in found:
        result = _resumed(settings, one)
        tell(result, settings)
        if not result.delivered:
            sys.exit(KEPT if result.kept else LOST)


def _found(settings: Settings, which: str | None) -> list[Path]:
    """The folders that are meant and that nobody works on."""
    if which and Path(which).is_dir():
        return [Path(which)]
    try:
        execution_id = UUID(which) if which else None
    except ValueError:
        raise Permanent(f"{which} is neither a folder nor the id of a run.") from None
    found = unfinished(spool_folder(settings), execution_id)
    idle = [one for one in found if is_idle(one)]
    for one in found:
        if one not in idle:
            say(f"another process is at work in {one}")
    return idle


def _resumed(settings: Settings, folder: Path) -> RunResult:
    endpoints = resolve(settings, "kafka")

    async def work() -> RunResult:
        with progress_bar() as bar:
            task = bar.add_task(folder.name, total=None)
            return await resume_run(
                folder,
                endpoints.kafka,
                say=say,
                watch=lambda done, size: bar.update(task, completed=done, total=size),
            )

    try:
        return asyncio.run(work())
    except KeyboardInterrupt:
        say(f"stopped; {folder} is kept, and `headrace k6 resume {folder}` goes on")
        sys.exit(KEPT)
