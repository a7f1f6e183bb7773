"""`headrace storage cardinality`: which tenants, metrics and labels make the most series."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli.pools import with_pool
from schemas.settings import Settings
from sinks.cardinality import Cardinality, cardinality


def show(
    *,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant. [all]")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many of each kind.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what makes the most series, and what was rejected for a limit.

    A label with many values is what makes series many: take it off the metric, or raise the limit
    (headrace tenants limit, or max_label_values of the metric's definition).

        headrace storage cardinality
        headrace storage cardinality --tenant acme --top 20
    """
    found = with_pool(
        lambda pool: cardinality(pool, tenant=tenant, top=top),
        role="headrace_owner",
        application="storage",
    )
    if as_json:
        print(json.dumps(asdict(found), default=str))
        return
    print(f"{Settings().max_series_per_tenant:,} series a tenant, unless it has a limit of its own")
    _print(found)


def _print(found: Cardinality) -> None:
    console = Console()
    for what, rows in vars(found).items():
        if not rows:
            console.print(f"no {what}")
            continue
        table = Table(
            box=None, pad_edge=False, header_style="bold", title=what, title_justify="left"
        )
        for column in vars(rows[0]):
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*("-" if cell is None else str(cell) for cell in vars(row).values()))
        console.print(table)
