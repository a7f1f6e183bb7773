"""`headrace bench`: speed, measured on this machine, beside what its database could do at best."""

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from deploy.bench.ingest import Result, bench_ingest
from deploy.bench.workload import Shape
from deploy.cli.context import Endpoints, resolve
from deploy.local.stack import Stack
from schemas.errors import Permanent, Temporary
from schemas.settings import EMBEDDED, Settings
from sinks.outages import OUTAGE, classify

bench = typer.Typer(
    help="Measure this machine. Each benchmark makes and removes its own topic and database.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.add_typer(bench, name="bench")


# One command alone would become `headrace bench` itself.
bench.callback()(lambda: None)


@bench.command("ingest")
def ingest(
    *,
    samples: Annotated[
        int, typer.Option(min=200_000, help="How many samples to ingest.")
    ] = 4_000_000,
    shape: Annotated[
        Shape,
        typer.Option(help="Records of 100 samples in JSON, of one sample, or of 1,000 in Arrow."),
    ] = "json100",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Drain a preloaded topic through the real ingest process into the database.

    Beside it stands the limit: COPY of the same rows, encoded beforehand, into the same table. Uses the
    stack that runs, the servers of HEADRACE_KAFKA and HEADRACE_DATABASE, or a stack of its own.

        headrace bench ingest
        headrace bench ingest --shape arrow --samples 10000000 --json
    """
    if samples % 1000:
        raise Permanent("--samples must be a multiple of 1,000: an Arrow record carries so many.")
    console = Console(stderr=True)
    with (
        _servers(Settings(), console) as endpoints,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task("preparing", total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        try:
            result = asyncio.run(
                bench_ingest(endpoints.kafka, endpoints.database, shape, samples, report)
            )
        except psycopg.Error as error:
            raise Temporary(f"The database can't be used: {error}") from error
        except OUTAGE as error:
            raise classify(error) from error
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        Console().print(_table(result))


@contextmanager
def _servers(settings: Settings, console: Console) -> Iterator[Endpoints]:
    """The servers to measure on: those that run, else a private stack that is gone afterwards."""
    wanted = EMBEDDED in (settings.kafka, settings.database)
    if not wanted or Stack.from_settings(settings).state() is not None:
        yield resolve(settings, "kafka", "database")
        return
    with console.status("starting Kafka and PostgreSQL for this benchmark"):
        private = Stack(
            settings.home / "bench",
            "auto",
            runtime=settings.runtime or settings.home / "runtime",
            services_only=True,
            kafka=settings.kafka,
            database=settings.database,
            temporal="unused:0",
        )
        private.start()
    try:
        yield Endpoints(private.endpoints.kafka, private.endpoints.database, "unused")
    finally:
        private.stop()


def _table(result: Result) -> Table:
    table = Table(title=f"ingest, {result.shape}, {result.storage}", show_header=False)
    share = result.samples_per_second / result.limit_samples_per_second
    table.add_row("samples a second", f"[bold]{result.samples_per_second:,}[/]")
    table.add_row(
        "limit (COPY alone)", f"{result.limit_samples_per_second:,}; ingest reaches {share:.0%}"
    )
    table.add_row("samples, rows", f"{result.samples:,}, {result.rows:,}")
    table.add_row("CPU of the process", f"{result.cpu_seconds} s")
    table.add_row("peak memory of the process", f"{result.peak_rss_mb} MB")
    table.add_row("bytes a sample on disk", f"{result.bytes_per_sample}")
    return table
