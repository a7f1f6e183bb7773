"""`headrace migrate`: the database's schema and Kafka's topics, forward and back."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax

from deploy.cli.context import Endpoints, resolve, topics
from producers.topics import TopicState, create_topics
from schemas.errors import Permanent
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.lifecycle.maintenance import open_lifecycle
from sinks.migrate import Plan, StorageMode, migrate, plan
from sinks.outages import OUTAGE, classify


def register(app: typer.Typer) -> None:
    """Add the command to the CLI."""
    app.command("migrate")(run)


def run(
    *,
    to: Annotated[
        str | None, typer.Option(help="Stop at this version; 0 is an empty database.")
    ] = None,
    rollback: Annotated[int, typer.Option(min=0, help="Take back this many versions.")] = 0,
    storage: Annotated[
        StorageMode | None,
        typer.Option(
            help="Of a database that is empty yet. Default: TimescaleDB where the server has it."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--plan", help="Print the SQL that would run; change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Bring the database to the newest schema and make the topics that are missing.

    Safe to repeat, and to run twice at once. The storage mode (TimescaleDB or plain PostgreSQL) is
    found the first time and recorded. Retention, compression and refresh policies follow the settings:
    run it again when those change.

        headrace migrate                 # forward to the newest version
        headrace migrate --plan          # what that would do
        headrace migrate --rollback 1    # take the newest version back
    """
    if to is not None and rollback:
        raise Permanent(
            "--to and --rollback exclude each other: one names the goal, one counts back."
        )
    settings = Settings()
    endpoints = resolve(settings, "kafka", "database")
    if show:
        found = plan(endpoints.database, to=to, rollback=rollback, storage=storage)
        _print(found, [], as_json=as_json, show=True)
        return
    found = migrate(endpoints.database, to=to, rollback=rollback, storage=storage)
    made = []
    if to is None and not rollback:
        asyncio.run(_prepare(settings, endpoints))
        made = _make_topics(settings, endpoints)
    _print(found, made, as_json=as_json, show=False)


async def _prepare(settings: Settings, endpoints: Endpoints) -> None:
    """Make TimescaleDB's jobs follow the settings, or PostgreSQL's partitions of the next days."""
    try:
        async with await connect_pool(
            endpoints.database, role="headrace_owner", application="migrate"
        ) as pool:
            lifecycle = await open_lifecycle(pool, settings.lifecycle)
            await lifecycle.ensure(datetime.now(UTC), lambda words: print(words, file=sys.stderr))
    except OUTAGE as error:
        raise classify(error) from error


def _make_topics(settings: Settings, endpoints: Endpoints) -> list[TopicState]:
    specs = topics(settings).specs(settings.partitions)
    return asyncio.run(create_topics(endpoints.kafka, specs, settings.replication))


def _print(found: Plan, made: list[TopicState], *, as_json: bool, show: bool) -> None:
    if as_json:
        document = {
            "storage": found.storage,
            "from": found.current,
            "steps": [
                {"version": s.revision, "name": s.name, "direction": s.direction}
                for s in found.steps
            ],
            "topics": {topic.name: topic.state for topic in made},
        }
        print(json.dumps(document))
        return
    console = Console()
    console.print(f"storage: [bold]{found.storage}[/], at version {found.current or 'none'}")
    if not found.steps:
        console.print("The schema is as wanted: nothing to do.")
    for step in found.steps:
        console.print(f"{'would run' if show else 'done'}: {step.direction} {step.name}")
        if show:
            for name, text in step.scripts:
                console.print(f"-- {name}", style="dim")
                console.print(Syntax(text, "sql", background_color="default"))
    for topic in made:
        console.print(f"topic {topic.name}: {topic.state}, {topic.partitions} partitions")
