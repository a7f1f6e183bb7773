"""`headrace k6 report`: one HTML file about a run, to look at, send and keep."""

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.access import reading
from deploy.cli.k6.options import ApiKey
from deploy.cli.k6.reading import Run, Test
from deploy.results.report import html
from query import results
from query.baselines import NotFit
from query.comparison import Comparison, compare, find_run
from query.database import Reading
from query.results import Result
from schemas.errors import Permanent


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command("report")(report)


def report(
    run: Run,
    *,
    file: Annotated[
        Path, typer.Option("--html", help="The file to write.", metavar="FILE", show_default=False)
    ],
    baseline: Annotated[
        str | None,
        typer.Option(help="What to compare with, as for `headrace k6 compare`. [as there]"),
    ] = None,
    test: Test = None,
    api_key: ApiKey = None,
) -> None:
    """Write a run's charts, tables, thresholds, checks and comparison into one HTML file.

    It needs no network and no server: open it, attach it, keep it.
    Five megabytes, most of them Plotly.

        headrace k6 report latest --html report.html
        headrace k6 report $RUN --html report.html --baseline release-2.1
    """

    async def work(one: Reading) -> tuple[Result, Comparison | None]:
        execution = await find_run(one, run, test)
        found = await results.report(one, execution)
        try:
            return found, await compare(one, execution, baseline)
        except NotFit:
            if baseline is not None:
                raise
            return found, None  # it goes on: the rest is worth a look

    found, comparison = reading(api_key, work)
    try:
        file.write_text(html(found, comparison), encoding="utf-8")
    except OSError as error:
        raise Permanent(f"{file} can't be written: {error.strerror}.") from error
    print(f"{file}: run {found.run['execution_id']} of {found.run['test']}")
