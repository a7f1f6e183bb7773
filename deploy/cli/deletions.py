"""`headrace tenants delete` and `tenants metrics delete`: say what goes, ask, and leave nothing behind."""

import asyncio
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from deploy.cli.context import resolve
from schemas.errors import Permanent
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.forget import Drained, Forgetting, Pool, Removal, drain
from sinks.outages import OUTAGE, classify

Tenant = Annotated[str, typer.Argument(help="The tenant's name.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def delete_tenant(
    name: Tenant, *, dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Delete a tenant and all that is its: samples, rules, alerts, remediations, keys and runs.

    It is out of sight at once; then its rows are deleted in small steps, beside ingest. If that is
    interrupted, maintenance goes on with it. What its producers send from now on is dead-lettered.

        headrace tenants delete acme --dry-run
        headrace tenants delete acme
    """
    asyncio.run(_delete(name, None, dry_run=dry_run, yes=yes, as_json=as_json))


def delete_metric(
    name: Tenant,
    metric: Annotated[str, typer.Argument(help="The metric's name.", show_default=False)],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a metric of a tenant: its samples in all forms, its definition, rules and alerts.

    As with a tenant. What was done about its alerts goes, too. What its producers send from now on makes
    it anew. Results of load tests stay: they belong to their runs.

        headrace tenants metrics delete acme cpu_usage
    """
    asyncio.run(_delete(name, metric, dry_run=dry_run, yes=yes, as_json=as_json))


async def _delete(
    tenant: str, metric: str | None, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    try:
        async with await connect_pool(
            resolve(Settings(), "database").database,
            role="headrace_owner",
            application="tenants",
            max_size=2,
        ) as pool:
            forgetting = Forgetting(pool)
            target = await forgetting.find(tenant, metric)
            removals = await forgetting.plan(target)
            if not dry_run:
                _confirm(tenant, metric, removals, yes=yes)
                await forgetting.forget(target)
                rows = await _drain(pool)
    except OUTAGE as error:
        raise classify(error) from error
    if as_json:
        facts = {one.what.replace(" ", "_"): one.n for one in removals}
        about = {"tenant": tenant, "metric": metric, "dry_run": dry_run, "removes": facts}
        print(json.dumps(about if dry_run else about | {"rows_deleted": rows}))
    elif dry_run:
        print("\n".join(_told(removals)))
    else:
        print(f"deleted {metric or tenant}: {rows:,} rows")


def _confirm(tenant: str, metric: str | None, removals: list[Removal], *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Permanent("Nobody is there to ask: add --yes, or see what would go with --dry-run.")
    what = f"tenant {tenant}" if metric is None else f"metric {metric} of tenant {tenant}"
    typer.echo(f"This deletes {what}, for good:", err=True)
    for line in _told(removals):
        typer.echo(f"  {line}", err=True)
    typer.confirm("Delete all this?", abort=True, err=True)


def _told(removals: list[Removal]) -> list[str]:
    return [f"{'about ' if one.estimated else ''}{one.n:,} {one.what}" for one in removals]


async def _drain(pool: Pool) -> int:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("deleting", total=None)

        def show(drained: Drained) -> None:
            done, left = drained.series + drained.runs, drained.series_left + drained.runs_left
            told = f"deleted {drained.rows:,} rows"
            progress.update(task, description=told, completed=done, total=done + left)

        return await drain(pool, show)
