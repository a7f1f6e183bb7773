"""`headrace k6`: run k6 with its points going to Kafka, import a finished run, deliver what was kept."""

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID, uuid4

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.cli.context import resolve, tenant, topics
from deploy.local.ports import Ports
from producers.k6 import kept
from producers.k6.arguments import Arguments
from producers.k6.delivery import Delivery
from producers.k6.imports import ImportConfig, import_run
from producers.k6.outcome import RunResult
from producers.k6.program import find
from producers.k6.run import RunConfig, run_k6, this_process
from producers.k6.signals import Signals
from producers.k6.spool import SpoolPolicy
from producers.k6.transfer import PointsLostError
from schemas.errors import Permanent
from schemas.settings import Settings

LOST, KEPT = 74, 75
"""Exit codes (of sysexits.h) where points are lost, or kept on disk. k6's own are 97 to 110."""

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)

ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_API_KEY",
        help="Whose run this is. Without it, the local stack's own tenant.",
        show_envvar=True,
    ),
]
ExecutionId = Annotated[
    UUID | None, typer.Option(help="The run's id, a UUID, instead of a new one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")]

_console = Console(stderr=True, soft_wrap=True, highlight=False)


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    k6 = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="markdown",
        help="Run k6 with its points going to Kafka, import a finished run, deliver what was kept.",
    )
    k6.command(
        "run",
        options_metavar="[OPTIONS] [K6 OPTIONS] SCRIPT",
        context_settings={
            "ignore_unknown_options": True,
            "allow_extra_args": True,
            "help_option_names": ["--help"],  # -h is k6's
        },
    )(run)
    k6.command("import")(import_file)
    k6.command("deliver")(deliver)
    app.add_typer(k6, name="k6")


def run(
    ctx: typer.Context,
    *,
    execution_id: ExecutionId = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="Name that runs are compared under. By default the script's, without suffix."
        ),
    ] = None,
    api_key: ApiKey = None,
    runner: Annotated[
        str | None,
        typer.Option(help="This runner among those of one execution. By default host and process."),
    ] = None,
    k6: Annotated[
        Path | None,
        typer.Option(help="The k6 to run. By default that on PATH, or the packaged one."),
    ] = None,
    spool_limit: Annotated[
        str,
        typer.Option(help="Disk that points may take while Kafka is away; then k6's output waits."),
    ] = "4GiB",
    deliver_within: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="How long to go on delivering after k6's end; then the rest is kept on disk.",
        ),
    ] = "10m",
    as_json: Json = False,
) -> NoReturn:
    """Run k6 as ever; its points stream to Kafka meanwhile.

    Every option that is not listed here is k6's own and is passed on; all after `--` is, too. Terminal,
    signals and exit code are k6's. While Kafka is away points wait in memory and on disk; k6 goes on.

        headrace k6 run script.js
        headrace k6 run --test checkout --vus 50 --duration 5m -e HOST=staging script.js

    Exit code: k6's, once everything is delivered or where k6 did not start. **75**: Kafka took not
    everything within `--deliver-within` of k6's end, or before a Ctrl-C; the rest is kept on disk and
    `headrace k6 deliver` finishes it. **74**: points are lost. With `--json`, k6's stdout goes to stderr.
    """
    settings = Settings()
    _quiet()
    if Arguments.parse(ctx.args).values("help"):
        program = find(k6, os.environ)
        os.execv(program, [program, "run", "--help"])  # noqa: S606 # k6's own help, nothing to bridge
    policy = SpoolPolicy(disk=_bytes(spool_limit))
    patience = _duration(deliver_within)
    endpoints = resolve(settings, "kafka", "database")
    tenant_id = asyncio.run(tenant(settings, endpoints, api_key))
    config = RunConfig(
        bootstrap=endpoints.kafka,
        topics=topics(settings),
        tenant_id=tenant_id,
        arguments=ctx.args,
        environment=dict(os.environ),
        spool=_spool(settings),
        execution_id=execution_id or uuid4(),
        test=test,
        runner=runner or this_process(),
        k6=k6,
        policy=policy,
        deliver_within=patience,
        stdout=sys.stderr.fileno() if as_json else None,
    )
    # Before the event loop and its threads, which are to leave signals alone.
    with Signals() as signals:
        try:
            result = asyncio.run(run_k6(config, say=_say, signals=signals))
        except PointsLostError as error:
            _say(str(error))
            sys.exit(LOST)
    _conclude(result, settings, as_json=as_json)


def import_file(
    file: Annotated[
        Path, typer.Argument(help="Written by `k6 run --out json=FILE`; may be gzipped.")
    ],
    *,
    summary: Annotated[
        Path | None,
        typer.Option(
            help="The run's --summary-export file: k6's verdicts, and thresholds of submetrics."
        ),
    ] = None,
    execution_id: ExecutionId = None,
    test: Annotated[
        str | None, typer.Option(help="Name that runs are compared under. By default the file's.")
    ] = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> NoReturn:
    """Import a finished run, with the times of its file.

    The id follows from the content: the same file again is refused, an interrupted import goes on.

        headrace k6 import run.json.gz --summary summary.json --test checkout
    """
    settings = Settings()
    _quiet()
    endpoints = resolve(settings, "kafka", "database")
    document = _summary(summary) if summary else None

    async def work() -> RunResult:
        config = ImportConfig(
            bootstrap=endpoints.kafka,
            topics=topics(settings),
            tenant_id=await tenant(settings, endpoints, api_key),
            file=file,
            execution_id=execution_id,
            test=test,
            summary=document,
        )
        with _progress() as bar:
            task = bar.add_task(file.name, total=None)
            return await import_run(
                config,
                say=_say,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    try:
        result = asyncio.run(work())
    except KeyboardInterrupt:
        _say("stopped; the same command goes on where it was")
        sys.exit(KEPT)
    _conclude(result, settings, as_json=as_json)


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
    _quiet()
    endpoints = resolve(settings, "kafka")
    directories = [directory] if directory else kept.directories(_spool(settings))
    if not directories:
        _say(f"nothing is kept in {_spool(settings)}")
    for one in directories:
        manifest = kept.load(one)
        run_id = manifest.ended.execution_id
        try:
            asyncio.run(_deliver(one, endpoints.kafka, manifest))
        except KeyboardInterrupt:
            _say(f"stopped; {one} is kept, and `headrace k6 deliver` goes on")
            sys.exit(KEPT)
        _say(f"run {run_id}: delivered; {_result_url(settings, run_id)}")


async def _deliver(directory: Path, bootstrap: str, manifest: kept.Manifest) -> None:
    with _progress() as bar:
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
                _say,
                lambda delivery: following.append(asyncio.create_task(follow(delivery))),
            )
        finally:
            for one in following:
                one.cancel()


def _conclude(result: RunResult, settings: Settings, *, as_json: bool) -> NoReturn:
    if result.malformed:
        _say(
            f"unreadable lines of k6's output: {result.malformed:,}; the first: {result.complaint}"
        )
    if result.adapted:
        _say(f"tag sets changed to be valid labels (keys [a-zA-Z0-9_.], 1 KiB): {result.adapted:,}")
    if not result.recorded:
        _say("k6 did not start; no run was recorded")
    elif result.delivered:
        where = _result_url(settings, result.execution_id)
        _say(f"run {result.execution_id}: {result.sent:,} points delivered; {where}")
    elif result.kept:
        _say(
            f"run {result.execution_id}: k6 ended with {result.exit_code}, but {result.problem}: "
            f"{result.read - result.sent:,} of {result.read:,} points are kept in {result.kept}. "
            f"Deliver them: headrace k6 deliver {result.kept}"
        )
    else:
        _say(f"run {result.execution_id}: {result.problem}")
    if as_json:
        print(json.dumps(_facts(result)))
    sys.exit(result.exit_code if result.delivered else KEPT if result.kept else LOST)


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


def _result_url(settings: Settings, execution_id: UUID) -> str:
    return f"{Ports(settings.port_offset).url('api')}/api/v1/runs/{execution_id}/summary"


def _spool(settings: Settings) -> Path:
    return settings.home / "spool"


def _bytes(text: str) -> int:
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise Permanent(f"--spool-limit {text}: write a size such as 500MiB or 4GiB.") from None


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not hours + minutes + seconds:
        raise Permanent(f"--deliver-within {text}: write a duration such as 90s, 10m or 1h30m.")
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _summary(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Permanent(f"--summary {path} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise Permanent(f"--summary {path} is not the document of k6's --summary-export.")
    return document


def _quiet() -> None:
    # aiokafka logs each failed connection, all through an outage, into k6's progress bar.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal may be closed while points are still to be delivered
        _console.print(f"[bold cyan]headrace:[/] {escape(text)}")


@contextmanager
def _progress() -> Iterator[Progress]:
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
