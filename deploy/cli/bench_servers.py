"""Runs a benchmark on the servers that it needs: those that run, or a stack of its own."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import psycopg
import uvloop
from rich.console import Console
from rich.progress import Progress

from deploy.bench.query_load import Report
from deploy.cli.context import Endpoints, Need, resolve
from deploy.local.stack import Stack
from schemas.errors import Temporary
from schemas.settings import EMBEDDED, Settings
from sinks.outages import OUTAGE, classify

_T = TypeVar("_T")


def measured(measure: Callable[[Endpoints, Report], Awaitable[_T]], *needs: Need) -> _T:
    """Run a benchmark on the servers that it needs, with a line of progress."""
    console = Console(stderr=True)
    with (
        _servers(Settings(), console, needs) as endpoints,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task("preparing", total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        async def run() -> _T:
            return await measure(endpoints, report)

        try:
            # The clients that measure share the cores with what they measure.
            return uvloop.run(run())
        except psycopg.Error as error:
            raise Temporary(f"The database can't be used: {error}") from error
        except OUTAGE as error:
            raise classify(error) from error


@contextmanager
def _servers(settings: Settings, console: Console, needs: Sequence[Need]) -> Iterator[Endpoints]:
    """The servers to measure on: those that run, else a private stack that is gone afterwards."""
    wanted = EMBEDDED in [getattr(settings, need) for need in needs]
    if not wanted or Stack.from_settings(settings).state() is not None:
        yield resolve(settings, *needs)
        return
    with console.status("starting servers for this benchmark"):
        private = Stack(
            settings.home / "bench",
            "auto",
            runtime=settings.runtime or settings.home / "runtime",
            services_only=True,
            kafka=settings.kafka if "kafka" in needs else "unused:0",
            database=settings.database,
            temporal="unused:0",
        )
        private.start()
    try:
        yield Endpoints(private.endpoints.kafka, private.endpoints.database, "unused")
    finally:
        private.stop()
