"""`headrace k6 summary`: what a run came to, as k6 prints it at the end of a test."""

import json
import sys
from typing import Annotated
from uuid import UUID

import typer

from deploy.cli.access import reading
from deploy.cli.k6.options import ApiKey
from deploy.cli.k6.reading import Run, Test
from deploy.results.summary import PLAIN, TERMINAL, facts, text
from query import results
from query.comparison import find_run
from query.database import Reading
from query.results import Result


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command("summary")(summary)


def summary(
    run: Run,
    *,
    test: Test = None,
    full: Annotated[bool, typer.Option("--full", help="Show the phases of requests, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    api_key: ApiKey = None,
) -> None:
    """Show a run's end-of-test summary, in k6's layout, over the points of all its runners.

    How a run went is its verdict,
    not this command's exit code.

        headrace k6 summary latest
        headrace k6 summary latest --test checkout --json
    """

    async def work(one: Reading) -> Result:
        execution: UUID = await find_run(one, run, test)
        return await results.summary(one, execution)

    found = reading(api_key, work)
    style = TERMINAL if sys.stdout.isatty() else PLAIN
    print(json.dumps(facts(found)) if as_json else text(found, full=full, style=style))
