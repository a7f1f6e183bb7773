"""`headrace k6 deliver`: what a run had to keep on disk."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.context import resolve
from deploy.cli.k6.shared import KEPT, progress_bar, quiet, result_url, say, spool_folder
from producers.k6 import kept
from producers.k6.delivery import Delivery
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command("deliver")(deliver)


def deliver(
    directory: Annotated[
        Path | None, typer.Argument(help="One kept run; by default all that are kept here.")
    ] = None,
) -> None:
    """Deliver the points that a run had to keep on disk.

    Each point is delivered once, even where it is not known how much of the last attempt arrived: the
    broker is asked. (For that its topic must still hold that attempt: a week by default.)

        headrace k6 deliver
    """
    settings = Settings()
    quiet()
    endpoints = resolve(settings, "kafka")
    directories = [directory] if directory else kept.directories(spool_folder(settings))
    if not directories:
        say(f"nothing is kept in {spool_folder(settings)}")
    for one in directories:
        manifest = kept.load(one)
        run_id = manifest.ended.execution_id
        try:
            asyncio.run(_deliver(one, endpoints.kafka, manifest))
        except KeyboardInterrupt:
            say(f"stopped; {one} is kept, and `headrace k6 deliver` goes on")
            sys.exit(KEPT)
        say(f"run {run_id}: delivered; {result_url(settings, run_id)}")


async def _deliver(directory: Path, bootstrap: str, manifest: kept.Manifest) -> None:
    with progress_bar() as bar:
        task = bar.add_task(f"run {manifest.ended.execution_id}", total=manifest.points)

        async def follow(delivery: Delivery) -> None:
            while True:
                bar.update(task, completed=delivery.points)
                await asyncio.sleep(0.2)

        following: list[asyncio.Task[None]] = []
        try:
            await kept.deliver(
                directory,
                bootstrap,
                say,
                lambda delivery: following.append(asyncio.create_task(follow(delivery))),
            )
        finally:
            for one in following:
                one.cancel()
