"""`headrace k6 run`: k6 with its points going to Kafka."""

import asyncio
import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import uuid4

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from deploy.cli.context import resolve, tenant, topics
from deploy.cli.k6.options import ApiKey
from deploy.cli.k6.shared import (
    ExecutionId,
    Json,
    UrlFolding,
    UrlRules,
    conclude,
    folding,
    quiet,
    say,
    spool_folder,
)
from producers.k6.arguments import Arguments
from producers.k6.program import find
from producers.k6.run import RunConfig, run_k6, this_process
from producers.k6.signals import Signals
from schemas.errors import Permanent
from schemas.settings import Settings

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command(
        "run",
        options_metavar="[OPTIONS] [K6 OPTIONS] SCRIPT",
        context_settings={
            "ignore_unknown_options": True,
            "allow_extra_args": True,
            "help_option_names": ["--help"],  # -h is k6's
        },
    )(run)


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
    runners: Annotated[
        int,
        typer.Option(
            min=1, help="How many runners share the --execution-id; the run ends with the last."
        ),
    ] = 1,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="Keep the run's points after they are aggregated.")
    ] = False,
    url_rules: UrlRules = None,
    url_folding: UrlFolding = True,
    k6: Annotated[
        Path | None,
        typer.Option(help="The k6 to run. By default that on PATH, or the packaged one."),
    ] = None,
    spool_limit: Annotated[
        str,
        typer.Option(
            help="Disk that points may take while Kafka is away; then the test is ended, as by Ctrl-C."
        ),
    ] = "8GiB",
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
    signals and exit code are k6's. k6 writes to disk and never waits: while Kafka is away its points stay
    there, and if this process is killed k6 goes on, and so does `headrace k6 resume`.

        headrace k6 run script.js
        headrace k6 run --test checkout --vus 50 --duration 5m -e HOST=staging script.js
        headrace k6 run --execution-id $ID --runners 3 script.js    # on each of three machines

    Exit code: k6's, once everything is delivered or where k6 did not start. **75**: Kafka took not
    everything within `--deliver-within` of k6's end, or before a Ctrl-C; the rest is kept on disk and
    `headrace k6 deliver` finishes it. **74**: points are lost, because the disk failed k6. With `--json`, k6's stdout goes to stderr.
    """
    settings = Settings()
    quiet()
    if Arguments.parse(ctx.args).values("help"):
        program = find(k6, os.environ)
        os.execv(program, [program, "run", "--help"])  # noqa: S606 # k6's own help, nothing to bridge
    limit, urls = _bytes(spool_limit), folding(url_rules, by_default=url_folding)
    patience = _duration(deliver_within)
    endpoints = resolve(settings, "kafka", "database")
    tenant_id = asyncio.run(tenant(settings, endpoints, api_key))
    config = RunConfig(
        bootstrap=endpoints.kafka,
        topics=topics(settings),
        tenant_id=tenant_id,
        arguments=ctx.args,
        environment=dict(os.environ),
        spool=spool_folder(settings),
        execution_id=execution_id or uuid4(),
        test=test,
        runner=runner or this_process(),
        runners=runners,
        keep_raw=keep_raw,
        k6=k6,
        disk_limit=limit,
        folding=urls,
        deliver_within=patience,
        stdout=sys.stderr.fileno() if as_json else None,
    )
    # Before the event loop and its threads, which are to leave signals alone.
    with Signals() as signals:
        result = asyncio.run(run_k6(config, say=say, signals=signals))
    conclude(result, settings, as_json=as_json)


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
