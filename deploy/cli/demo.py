"""`headrace demo` and `headrace items`: the main job once, from end to end, and the service it loads."""

import contextlib
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import Annotated

import asyncpg
import typer
import uvloop
from rich.console import Console

from deploy.cli.context import resolve
from deploy.demo.display import Steps, tables
from deploy.demo.incident_display import timeline
from deploy.demo.scripts import Load, Script
from deploy.local import ports
from schemas.errors import Permanent, Temporary
from schemas.settings import Settings

PORT = 21000
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0}


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.command("demo")(demo)
    app.command("items")(items)


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    incident: Annotated[
        bool,
        typer.Option(
            "--incident",
            help="Make the service slow meanwhile: a rule fires, remediation asks, the demo approves, "
            "a playbook mends it, the alert resolves.",
        ),
    ] = False,
    duration: Annotated[
        str | None, typer.Option(help="How long k6 runs: 20s, 1.5m. [20s; with --incident 50s]")
    ] = None,
    vus: Annotated[int | None, typer.Option(min=1, help="k6's users at the peak.")] = None,
    script: Annotated[Script, typer.Option(help="What k6 runs.")] = "basic",
    port_offset: Annotated[
        int | None,
        typer.Option(
            min=0, max=40000, help="Add this to every port, to run beside something else."
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_API_KEY",
            help="Whose run it is; by default the local stack's own tenant's.",
        ),
    ] = None,
) -> None:
    """Send a real load test through the whole pipeline, and compare what comes out with k6.

    Starts the stack (or uses the one that runs) and a small service, lets k6 load that service, and
    follows every point: k6, Kafka, ingest, database, workflow, query API. Stops what it started.

    Exit code 0: every point arrived once and the figures agree; 1: they do not, or a part failed.

        headrace demo
        headrace demo --keep    # look around afterwards, then: headrace down
        headrace demo --incident
        headrace demo --script crud --duration 1m --vus 20
    """
    # Temporal and Arrow take a second to import, which `items` need not wait for.
    from deploy.demo.main_job import Plan, run_demo  # noqa: PLC0415 - see above

    settings = Settings()
    if port_offset is not None:
        settings = settings.model_copy(update={"port_offset": port_offset})
    load = Load(script, _seconds(duration or ("50s" if incident else "20s")), vus)
    if incident:
        # Its switch is on this machine, which playbooks may not ask unless they are told.
        allowed = (os.environ.get("HEADRACE_OUTGOING_ALLOW"), ports.HOST)
        os.environ["HEADRACE_OUTGOING_ALLOW"] = ",".join(filter(None, allowed))
    plan = Plan(settings, load, dict(os.environ), keep=keep, api_key=api_key, incident=incident)
    with _every_end_is_ctrl_c():
        outcome = run_demo(plan, Steps(Console(stderr=True)))
    wrong = outcome.report.disagreements()
    if as_json:
        document = outcome.report.document()
        if outcome.timeline is not None:
            document["incident"] = outcome.timeline.document()
        print(json.dumps(document))
    else:
        console = Console()
        console.print(tables(outcome.report))
        if outcome.timeline is not None:
            console.print(timeline(outcome.timeline))
        console.print("\n[bold]Where to look[/]")
        for name, url in outcome.urls.items():
            console.print(f"{name:<18}{url}", highlight=False, soft_wrap=True)
        advice = (
            f"The query API wants the key of {settings.home / 'credentials.json'} as X-API-Key. "
            "Stop everything: headrace down"
            if outcome.stays_up
            else "All of it is stopped again; to look around: headrace demo --keep"
        )
        console.print(advice, style="dim", highlight=False, soft_wrap=True)
    for sentence in wrong:
        print(f"headrace: {sentence}", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)


def items(
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"Where to listen. [{PORT}]")
    ] = None,
) -> None:
    """Serve the demo's items: a small CRUD service over a schema of its own, to be put under load.

    Makes its schema, `items`, beside headrace's tables,
    which it leaves alone.

        headrace items
        curl localhost:21000/items -H 'content-type: application/json' -d '{"title": "water"}'
    """
    settings = Settings()
    dsn = resolve(settings, "database").database
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvloop.run(
        _items(dsn, settings.api_host, PORT + settings.port_offset if port is None else port)
    )


async def _items(dsn: str, host: str, port: int) -> None:
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - `demo` has no need of it

    from deploy.demo.items import serving_items  # noqa: PLC0415 - nor of FastAPI
    from deploy.http import listen, serve  # noqa: PLC0415 - as above

    registry = CollectorRegistry()
    try:
        async with serving_items(dsn, registry) as app:
            await serve(app, listen(host, port), "items service", registry)
    except (OSError, asyncpg.PostgresError) as error:
        raise Temporary(f"The items service can't use its database: {error}") from error


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if not found or not float(found[1]):
        raise Permanent(f"--duration {text} is no duration: give 20s, 500ms or 1.5m.")
    return float(found[1]) * _UNIT_SECONDS[found[2]]


@contextlib.contextmanager
def _every_end_is_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP stop the demo as Ctrl-C does: in order, with everything it started."""

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
