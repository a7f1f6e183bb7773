"""`headrace playbooks`: what may be done about alerts, as YAML files."""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import typer
import yaml
from pydantic import ValidationError

from deploy.cli.access import ApiKey, AsJson
from deploy.cli.files import text_of
from deploy.cli.pools import with_tenant
from deploy.cli.tables import show_rows
from deploy.grants import read_grants
from schemas import yaml_documents
from schemas.errors import Invalid
from schemas.faults import faults
from schemas.playbooks import Playbook, plain
from schemas.settings import Settings
from schemas.templates import Facts
from sinks.playbooks import PlaybookStore
from workflows.actions.actions import Actions
from workflows.actions.secrets import Secrets
from workflows.outgoing import Outgoing
from workflows.remediation.planning import dry

_T = TypeVar("_T")

Files = Annotated[
    list[Path],
    typer.Option("--file", "-f", help="YAML file; a file may hold several, with --- between."),
]
Name = Annotated[str, typer.Argument(help="The playbook's name.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    playbooks = typer.Typer(
        help="Say what may be done about alerts, step by step.", no_args_is_help=True
    )
    playbooks.command("apply")(apply)
    playbooks.command("list")(list_all)
    playbooks.command("show")(show)
    playbooks.command("test")(rehearse)
    app.add_typer(playbooks, name="playbooks")


def apply(
    files: Files,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Store playbooks: all of them, or none. One that is the same as before stays that version.

    A step, and what is done to escalate, may tell a receiver of headrace notifications by its name:
    do: {action: notify, receiver: ops, text: "{{ rule }} is being remedied"}. Apply those first.

        headrace playbooks apply -f playbooks.yaml --dry-run
    """
    found = _read(files)

    async def store_all(store: PlaybookStore, tenant: UUID) -> dict[str, tuple[int, bool]]:
        await store.check_receivers(tenant, found)
        return await store.apply(tenant, found, dry_run=dry_run)

    applied = _within(api_key, store_all)
    rows: list[dict[str, object]] = [
        {"name": name, "version": version, "change": _change(version, changed=changed)}
        for name, (version, changed) in applied.items()
    ]
    show_rows("playbooks", rows, as_json=as_json)
    if dry_run and not as_json:
        print("dry run: nothing was stored")


def list_all(*, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show all playbooks, each in its newest version."""
    found = _within(api_key, lambda store, tenant: store.all(tenant))
    rows: list[dict[str, object]] = [
        {
            "name": name,
            "version": one.version,
            "steps": len(one.playbook.steps),
            "since": one.created_at.isoformat(timespec="seconds"),
            "description": one.playbook.description,
        }
        for name, one in sorted(found.items())
    ]
    show_rows("playbooks", rows, as_json=as_json)


def show(
    name: Name,
    *,
    version: Annotated[int | None, typer.Option(min=1, help="Which one. [the newest]")] = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Print a playbook as YAML that apply takes."""

    async def find(store: PlaybookStore, tenant: UUID) -> Playbook:
        if version is not None:
            stored = await store.version(tenant, name, version)
        else:
            stored = (await store.all(tenant)).get(name)
        if stored is None:
            raise Invalid(
                "unknown_playbook", f"There is no playbook {name!r}, or not that version."
            )
        return stored.playbook

    document = plain(_within(api_key, find))
    print(
        json.dumps(document)
        if as_json
        else yaml.safe_dump(document, sort_keys=False, allow_unicode=True),
        end="" if not as_json else "\n",
    )


def rehearse(
    name: Name,
    files: Files,
    *,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Of the alert: host=web-1.")
    ] = None,
    annotation: Annotated[
        list[str] | None, typer.Option("--annotation", "-a", help="Of the alert: summary=slow.")
    ] = None,
    level: Annotated[str, typer.Option(help="warning or critical.")] = "critical",
    value: Annotated[float | None, typer.Option(help="The alert's value.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a playbook of these files would do for an alert. Nothing is done, nothing is asked.

    With HEADRACE_REMEDIATION_GRANTS it also says what is not granted to all tenants.

        headrace playbooks test items-restart -f playbooks.yaml -l host=web-1 --value 523
    """
    known = {playbook.name: playbook for playbook in _read(files)}
    if name not in known:
        raise Invalid("unknown_playbook", f"The files have no playbook {name!r}.")
    facts = Facts(
        level=level,
        rule="test",
        fingerprint="0" * 16,
        labels=_pairs(label),
        annotations=_pairs(annotation),
        value=value,
        condition="a test",
    )
    settings = Settings()
    actions = None
    if settings.remediation_grants is not None:
        actions = Actions(Outgoing(), Secrets({}), read_grants(settings.remediation_grants))
    rows: list[dict[str, object]] = [
        {
            "step": step.id,
            "action": step.action,
            "input": json.dumps(step.input, ensure_ascii=False),
        }
        for step in dry(known[name], known, facts, actions)
    ]
    show_rows("steps", rows, as_json=as_json)


def _read(files: Sequence[Path]) -> list[Playbook]:
    """The playbooks of files. Raises Invalid, which says which is wrong where."""
    found: dict[str, Playbook] = {}
    for path in files:
        for number, document in enumerate(yaml_documents.read(text_of(path), str(path)), 1):
            try:
                playbook = Playbook.model_validate_json(json.dumps(document))
            except ValidationError as error:
                told = [f"{path}, document {number} is no playbook:", *faults(error)[:10]]
                raise Invalid("bad_playbook", "\n  ".join(told)) from error
            if playbook.name in found:
                raise Invalid("bad_playbook", f"{path}: {playbook.name!r} is given twice.")
            found[playbook.name] = playbook
    return list(found.values())


def _change(version: int, *, changed: bool) -> str:
    if not changed:
        return "unchanged"
    return "new" if version == 1 else "changed"


def _pairs(texts: list[str] | None) -> dict[str, str]:
    for text in texts or ():
        if "=" not in text:
            raise Invalid("bad_label", f"{text!r} is no NAME=VALUE.")
    return dict(text.split("=", 1) for text in texts or ())


def _within(api_key: str | None, act: Callable[[PlaybookStore, UUID], Awaitable[_T]]) -> _T:
    return with_tenant(
        api_key,
        lambda pool, tenant: act(PlaybookStore(pool), tenant),
        role="headrace_writer",
        application="playbooks",
    )
