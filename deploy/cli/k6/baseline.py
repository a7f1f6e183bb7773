"""`headrace k6 baseline`: pins runs that others are compared with, under names."""

import asyncio
import json
from typing import Annotated

import typer

from deploy.cli.access import access, asked, reading
from deploy.cli.k6.options import ApiKey
from deploy.cli.k6.reading import Run, Test
from deploy.cli.tables import show_rows
from query import baselines
from query.baselines import DEFAULT, Baseline
from query.comparison import find_run
from query.database import Reading, Rows
from schemas.errors import Permanent
from schemas.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `headrace k6`."""
    baseline = typer.Typer(
        no_args_is_help=True, help="Pin runs that others of their test are compared with."
    )
    baseline.command("set")(set_baseline)
    baseline.command("list")(list_baselines)
    baseline.command("remove")(remove)
    app.add_typer(baseline, name="baseline")


def set_baseline(
    run: Run,
    *,
    name: Annotated[str, typer.Option(help="What to call it.")] = DEFAULT,
    test: Test = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Pin a finished run under a name; the run that had it before loses it.

    The one called `default` is what `headrace k6 compare` takes when it is not told. Needs a key of
    scope admin.

        headrace k6 baseline set latest --test checkout
        headrace k6 baseline set $RUN --name release-2.1
    """
    try:
        baselines.check_name(name)
    except ValueError as error:
        raise Permanent(f"--name {name}: {error}.") from error

    async def work() -> Baseline:
        async with access(Settings(), api_key, "admin") as found:
            async with found.database.reading(found.tenant) as one:
                execution = await find_run(one, run, test)
            return await baselines.pin_run(found.database, found.tenant, test, name, execution)

    with asked():
        pinned = asyncio.run(work())
    told = f"baseline {pinned.name} of {pinned.test}: run {pinned.execution_id}"
    print(pinned.model_dump_json() if as_json else told)


def list_baselines(*, test: Test = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show the pinned runs."""

    async def work(one: Reading) -> Rows:
        return await one.rows("list_baselines", test, None, None, baselines.MOST)

    found = [Baseline(**row) for row in reading(api_key, work)]
    if as_json:
        print(json.dumps({"baselines": [one.model_dump(mode="json") for one in found]}))
        return
    rows: list[dict[str, object]] = [
        {
            "test": pinned.test,
            "name": pinned.name,
            "run": pinned.execution_id,
            "since": f"{pinned.set_at:%Y-%m-%d %H:%M}",
        }
        for pinned in found
    ]
    show_rows("baselines", rows)


def remove(
    test: Annotated[str, typer.Argument(help="The test.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The baseline's name.")] = DEFAULT,
    *,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Take a name off the run that has it. The run stays. Needs a key of scope admin.

    headrace k6 baseline remove checkout release-2.1
    """

    async def work() -> Baseline:
        async with access(Settings(), api_key, "admin") as found:
            return await baselines.unpin(found.database, found.tenant, test, name)

    with asked():
        gone = asyncio.run(work())
    told = f"removed baseline {gone.name} of {gone.test}: it was run {gone.execution_id}"
    print(gone.model_dump_json() if as_json else told)
