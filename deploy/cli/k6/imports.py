"""`headrace k6 import`: a finished run from its file."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from deploy.cli.context import resolve, tenant, topics
from deploy.cli.k6.options import ApiKey, KeepRaw, Metrics, Tags, metric_types, tags
from deploy.cli.k6.shared import (
    KEPT,
    ExecutionId,
    Json,
    UrlFolding,
    UrlRules,
    conclude,
    folding,
    progress_bar,
    quiet,
    say,
)
from producers.k6.imports import ImportConfig, import_run
from producers.k6.outcome import RunResult
from schemas.errors import Permanent
from schemas.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command("import")(import_file)


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="Written by `k6 run --out json=FILE` or `--out csv=FILE`; may be gzipped."
        ),
    ],
    *,
    summary: Annotated[
        Path | None,
        typer.Option(
            help="The run's --summary-export file: k6's verdicts, thresholds of submetrics, and for CSV "
            "all thresholds and the types of custom metrics."
        ),
    ] = None,
    execution_id: ExecutionId = None,
    test: Annotated[
        str | None, typer.Option(help="Name that runs are compared under. By default the file's.")
    ] = None,
    tag: Tags = None,
    keep_raw: KeepRaw = False,
    metric: Metrics = None,
    api_key: ApiKey = None,
    url_rules: UrlRules = None,
    url_folding: UrlFolding = True,
    as_json: Json = False,
) -> NoReturn:
    """Import a finished run, with the times of its file.

    The id follows from the content: the same file again is refused, an interrupted import goes on. A line
    that is no point is counted and named, and costs nothing else.

    CSV has whole seconds, unless k6 was told K6_CSV_TIME_FORMAT=unix_nano or the like: counts and
    percentiles are those of JSON all the same. It escapes nothing in `extra_tags`: an `&x=` in the value of
    a tag of your own reads as another tag.

        headrace k6 import run.json.gz --summary summary.json --test checkout
        headrace k6 import run.csv --metric my_errors=rate --tag branch=main
    """
    settings = Settings()
    quiet()
    urls = folding(url_rules, by_default=url_folding)
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
            types=metric_types(metric),
            tags=tags(tag),
            keep_raw=keep_raw,
            folding=urls,
        )
        with progress_bar() as bar:
            task = bar.add_task(file.name, total=None)
            return await import_run(
                config,
                say=say,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    try:
        result = asyncio.run(work())
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was")
        sys.exit(KEPT)
    conclude(result, settings, as_json=as_json)


def _summary(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Permanent(f"--summary {path} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise Permanent(f"--summary {path} is not the document of k6's --summary-export.")
    return document
