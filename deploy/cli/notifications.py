"""`headrace notifications`: who is told of alerts, as one document a tenant."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from deploy.cli.access import ApiKey, AsJson
from deploy.cli.context import resolve, tenant
from schemas import yaml_documents
from schemas.errors import Invalid, Permanent
from schemas.notifications import Notifications
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.notifications import NotificationStore

_SHOWN = 20
"""Faults that are told at once."""


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    notifications = typer.Typer(
        no_args_is_help=True, help="Say who is told of alerts, and see who is."
    )
    notifications.command("apply")(apply)
    notifications.command("show")(show)
    app.add_typer(notifications, name="notifications")


def apply(
    *,
    file: Annotated[Path, typer.Option("--file", "-f", help="The document, in YAML; - for stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the document.")] = False,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    r"""Check a document of receivers and routes, and put it in the place of the tenant's.

    Workers heed it within seconds; what fires already is told to receivers that are new to it. A secret
    is never in the document: it says secret://env/NAME or secret://file/path, which workers look up.
    This is for operators, who have the database: receivers reach whatever workers may (HEADRACE_OUTGOING_ALLOW).

        receivers:
          - name: team
            webhook: {url: https://hooks.example.org/alerts, secret: secret://env/HOOK_SECRET}
          - name: chat
            slack: {url: secret://env/SLACK_URL}
        route: {receiver: team, group_by: [alertname], group_wait: 30s, repeat_interval: 4h}
        routes:
          - {match: ["severity=critical"], receiver: chat, continue: true}
        inhibitions:
          - {source: ["severity=critical"], target: ["severity=warning"], equal: [host]}
    """
    document = read(file)
    changed = False
    if not dry_run:
        changed = asyncio.run(_apply(Settings(), api_key, document))
    facts = {
        "changed": changed,
        "dry_run": dry_run,
        "receivers": len(document.receivers),
        "routes": len(document.routes),
        "inhibitions": len(document.inhibitions),
    }
    word = "checked" if dry_run else "applied" if changed else "unchanged"
    told = f"{word}: {facts['receivers']} receivers, {facts['routes']} routes, {facts['inhibitions']} inhibitions"
    print(json.dumps(facts) if as_json else told)


def show(*, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Print the tenant's document as it was applied: YAML, or JSON."""
    document = asyncio.run(_load(Settings(), api_key))
    if document is None:
        raise Permanent("Nobody is told of alerts: headrace notifications apply -f FILE")
    facts = document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    print(json.dumps(facts) if as_json else yaml.safe_dump(facts, sort_keys=False).rstrip())


def read(file: Path) -> Notifications:
    """The document of a file. Raises Permanent, which says what is wrong and where."""
    name = "stdin" if str(file) == "-" else str(file)
    try:
        text = sys.stdin.read() if name == "stdin" else file.read_text(encoding="utf-8")
        documents = yaml_documents.read(text, name)
    except (OSError, UnicodeDecodeError) as error:
        raise Permanent(f"{name} can't be read: {error}") from error
    except Invalid as error:
        raise Permanent(str(error)) from error
    if len(documents) != 1:
        raise Permanent(f"{name} has {len(documents)} documents: it must have one.")
    try:
        return Notifications.model_validate(documents[0])
    except ValidationError as error:
        # Without what stands there: it may be the secret that should not.
        faults = [
            f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()[:_SHOWN]
        ]
        raise Permanent("\n  ".join([f"{name} says what can't be done:", *faults])) from error


async def _apply(settings: Settings, api_key: str | None, document: Notifications) -> bool:
    endpoints = resolve(settings, "database")
    whose = await tenant(settings, endpoints, api_key)
    async with await connect_pool(
        endpoints.database, role="headrace_owner", application="notifications", max_size=1
    ) as pool:
        return await NotificationStore(pool).apply(whose, document)


async def _load(settings: Settings, api_key: str | None) -> Notifications | None:
    endpoints = resolve(settings, "database")
    whose = await tenant(settings, endpoints, api_key)
    async with await connect_pool(
        endpoints.database, role="headrace_owner", application="notifications", max_size=1
    ) as pool:
        return await NotificationStore(pool).settings(whose)
