"""`headrace k6 compare`: what got better or worse, beyond the noise of the test; with an exit code for CI."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from deploy.cli.access import access, asked
from deploy.cli.k6.options import ApiKey
from deploy.cli.k6.reading import Run, Test
from deploy.results import compared
from query.baselines import NotFit
from query.comparing import Outcome
from query.comparison import MOST_RUNS, RUNS, Comparison, find_run
from query.comparison import compare as compare_runs
from query.database import Reading
from schemas.errors import HeadraceError, Permanent
from schemas.settings import Settings

CODES: dict[Outcome, int] = {"same": 0, "improved": 0, "regressed": 1, "not_enough_data": 3}
WRONG, FAILED = 2, 4
"""Exit codes: 1 must mean a regression and nothing else."""

Baseline = Annotated[
    str | None,
    typer.Argument(
        metavar="[BASELINE]",
        help="A run's id, a baseline's name, or `latest`: the latest passing run before. "
        "[the baseline `default`, else `latest`]",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to `headrace k6`."""
    app.command("compare")(compare)


def compare(
    run: Run,
    baseline: Baseline = None,
    *,
    test: Test = None,
    runs: Annotated[
        int, typer.Option(min=0, max=MOST_RUNS, help="Runs before it to learn the noise from.")
    ] = RUNS,
    everything: Annotated[
        bool, typer.Option("--all", help="Show what did not change, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML to this file, too.", metavar="FILE")
    ] = None,
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds to wait for a run that is still being aggregated.")
    ] = 60,
    api_key: ApiKey = None,
) -> NoReturn:
    """Say what got better or worse than in another run, per endpoint and metric.

    How much a figure varies when nothing changed is learnt from the runs before: at least seven. A change
    within that noise is none; nor is one below 3 % (of error shares: 0.1 percentage points).

        headrace k6 compare latest --test checkout
        headrace k6 compare $RUN main --markdown --junit comparison.xml

    Exit code: **0** the same or better, **1** something regressed, **2** wrong usage or no such run (or it is not finished),
    **3** not enough data, **4** it could not be compared (the database is away).
    """
    if as_json and markdown:
        _fail("Give --json or --markdown, not both.", WRONG)

    async def work(one: Reading) -> Comparison:
        return await compare_runs(one, await find_run(one, run, test), baseline, runs)

    try:
        with asked():
            found = asyncio.run(_patiently(api_key, work, wait))
        if junit is not None:
            _write(junit, compared.junit(found))
    except HeadraceError as error:
        _fail(str(error), WRONG if isinstance(error, Permanent) else FAILED)
    if as_json:
        print(found.model_dump_json())
    elif markdown:
        print(compared.markdown(found))
    else:
        Console().print(compared.table(found, everything=everything))
    sys.exit(CODES[found.verdict])


async def _patiently(
    api_key: str | None, work: Callable[[Reading], Awaitable[Comparison]], wait: int
) -> Comparison:
    """What `work` finds, looked for each second until the run is fit to be compared."""
    async with access(Settings(), api_key, "read") as found:
        while True:
            try:
                async with found.database.reading(found.tenant) as one:
                    return await work(one)
            except NotFit:
                if not wait:
                    raise
            wait -= 1
            await asyncio.sleep(1)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Permanent(f"{path} can't be written: {error.strerror}.") from error


def _fail(why: str, code: int) -> NoReturn:
    print(f"headrace: {why}", file=sys.stderr)
    sys.exit(code)
