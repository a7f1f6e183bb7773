"""`headrace notifications`: who is told of alerts, as one document a tenant."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import typer
import yaml
from pydantic import ValidationError

from deploy.cli.access import ApiKey, AsJson
from deploy.cli.files import text_of
from deploy.cli.pools import with_tenant
from schemas import yaml_documents
from schemas.errors import Invalid, Permanent
from schemas.faults import faults
from schemas.notifications import Notifications
from sinks.notifications import NotificationStore

_T = TypeVar("_T")

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
        changed = _within(api_key, lambda store, tenant: store.apply(tenant, document))
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
    document = _within(api_key, lambda store, tenant: store.settings(tenant))
    if document is None:
        raise Permanent("Nobody is told of alerts: headrace notifications apply -f FILE")
    facts = document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    print(json.dumps(facts) if as_json else yaml.safe_dump(facts, sort_keys=False).rstrip())


def read(file: Path) -> Notifications:
    """The document of a file. Raises Permanent, which says what is wrong and where."""
    name = "stdin" if str(file) == "-" else str(file)
    try:
        documents = yaml_documents.read(text_of(file), name)
    except Invalid as error:
        raise Permanent(str(error)) from error
    if len(documents) != 1:
        raise Permanent(f"{name} has {len(documents)} documents: it must have one.")
    try:
        return Notifications.model_validate(documents[0])
    except ValidationError as error:
        told = [f"{name} says what can't be done:", *faults(error)[:_SHOWN]]
        raise Permanent("\n  ".join(told)) from error


def _within(api_key: str | None, act: Callable[[NotificationStore, UUID], Awaitable[_T]]) -> _T:
    return with_tenant(
        api_key,
        lambda pool, tenant: act(NotificationStore(pool), tenant),
        role="headrace_owner",
        application="notifications",
    )
