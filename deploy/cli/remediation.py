"""`headrace remediation`: what was done about alerts, what waits for approval, and the emergency stop."""

import getpass
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from temporalio.client import Client

from deploy.cli.access import ApiKey, AsJson
from deploy.cli.context import resolve
from deploy.cli.pools import with_pool, with_tenant
from deploy.cli.tables import show_rows
from schemas import durations
from schemas.errors import Invalid
from schemas.settings import Settings
from sinks.remediation_desk import Entry, RemediationDesk
from sinks.transactions import Pool
from workflows.remediation.approvals import Approvals

_T = TypeVar("_T")

Id = Annotated[UUID, typer.Argument(help="The remediation's id (of `list`).", show_default=False)]
Who = Annotated[str | None, typer.Option("--by", help="Who says so. [your login]")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")]
All = Annotated[
    bool, typer.Option("--all-tenants", help="For every tenant, not for that of the key.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    remediation = typer.Typer(
        help="See what was done about alerts; approve, reject, and stop it all.",
        no_args_is_help=True,
    )
    for command in (list_all, show, approve, reject, pause, resume):
        remediation.command("list" if command is list_all else command.__name__)(command)
    app.add_typer(remediation, name="remediation")


def list_all(
    *,
    state: Annotated[
        str | None, typer.Option(help="Only those in this state: awaiting, escalated, …")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Only those of this rule.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show remediations, the newest first, and what is paused.

    headrace remediation list --state awaiting
    """

    async def look(desk: RemediationDesk, tenant: UUID) -> tuple[Any, Any]:
        return await desk.newest(tenant, state, rule, limit), await desk.pauses(tenant)

    found, pauses = _within(api_key, look)
    if as_json:
        print(json.dumps({"remediations": found, "pauses": pauses}, default=str))
        return
    for one in pauses:
        print(
            _pause(one["begins_at"], one["ends_at"], one["actor"], one["reason"], one["everybody"])
        )
    rows = [
        {
            "id": one["remediation_id"],
            "opened": one["created_at"].isoformat(timespec="seconds"),
            "rule": one["rule"],
            "level": one["level"],
            "labels": " ".join(f"{name}={value}" for name, value in one["labels"].items()),
            "playbook": f"{one['playbook']}@{one['playbook_version']}",
            "state": one["state"],
            "reason": one["reason"],
        }
        for one in found
    ]
    show_rows("remediations", rows)


def show(remediation: Id, *, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show a remediation and its audit trail: who or what did what, when, and what came of it."""
    found = _within(api_key, lambda desk, tenant: desk.find(tenant, remediation))
    if as_json:
        print(json.dumps({**found.facts, "trail": found.trail}, default=str))
        return
    console = Console()
    for name, value in found.facts.items():
        if value is not None:
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            console.print(f"{name:18}{shown}", markup=False, highlight=False)
    print()
    rows = [
        {
            "at": line["began_at"].isoformat(timespec="seconds"),
            "what": " ".join(filter(None, (line["kind"], line["step"]))),
            "attempt": line["attempt"] or "plan",
            "by": line["actor"],
            "action": line["action"],
            "status": line["status"],
            "input": line["input"] and json.dumps(line["input"], ensure_ascii=False),
            "output": line["output"],
        }
        for line in found.trail
    ]
    show_rows("steps", rows)


def approve(remediation: Id, *, by: Who = None, reason: Why = "", api_key: ApiKey = None) -> None:
    """Let a remediation begin that waits for approval. `show` says what it would do.

    headrace remediation approve 0d1f… --by ana
    """
    _decide(remediation, api_key, approved=True, who=by, why=reason)
    print(f"approved {remediation}")


def reject(remediation: Id, *, by: Who = None, reason: Why = "", api_key: ApiKey = None) -> None:
    """Have nothing done by a remediation that waits for approval."""
    _decide(remediation, api_key, approved=False, who=by, why=reason)
    print(f"rejected {remediation}")


def pause(
    *,
    by: Who = None,
    reason: Why = "",
    length: Annotated[
        str | None, typer.Option("--for", help="How long: 30m, 2h. [until it is resumed]")
    ] = None,
    begin: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"],
            help="When it begins, with its zone: 2026-06-01T22:00+0000. [now]",
        ),
    ] = None,
    all_tenants: All = False,
    api_key: ApiKey = None,
) -> None:
    """Stop: nothing is remedied any more, and what is on stops before its next step.

    With --from and --for
    it is a maintenance window.

        headrace remediation pause --all-tenants --reason "network change"
        headrace remediation pause --from 2026-06-01T22:00+0000 --for 2h
    """
    try:
        ends = length and (begin or datetime.now(UTC)) + durations.parse(length)
    except ValueError as error:
        raise Invalid("bad_duration", f"--for: {error}.") from error
    who = by or getpass.getuser()
    begins_at, ends_at = _within(
        api_key,
        lambda desk, tenant: desk.pause(tenant, begin, ends or None, who, reason),
        all_tenants=all_tenants,
    )
    print(_pause(begins_at, ends_at if length else None, who, reason, all_tenants))


def resume(*, all_tenants: All = False, api_key: ApiKey = None) -> None:
    """End all pauses, planned ones too. What was stopped stays stopped: new incidents are remedied."""
    ended = _within(api_key, lambda desk, tenant: desk.resume(tenant), all_tenants=all_tenants)
    print(f"{ended} pauses ended")


def _decide(
    remediation: UUID, api_key: str | None, *, approved: bool, who: str | None, why: str
) -> None:
    settings = Settings()
    endpoints = resolve(settings, "database", "temporal")

    async def connect() -> Client:
        return await Client.connect(endpoints.temporal, namespace=settings.temporal_namespace)

    async def act(desk: RemediationDesk, tenant: UUID) -> Entry:
        found = await desk.find(tenant, remediation)
        if found.facts["state"] != "awaiting":
            raise Invalid(
                "not_awaiting", f"It is {found.facts['state']}: nobody waits for a decision."
            )
        await Approvals(connect).decide(
            tenant,
            found.facts["rule"],
            found.facts["fingerprint"],
            remediation,
            approved=approved,
            who=who or getpass.getuser(),
            why=why,
        )
        return found

    _within(api_key, act)


def _within(
    api_key: str | None,
    act: Callable[[RemediationDesk, Any], Awaitable[_T]],
    *,
    all_tenants: bool = False,
) -> _T:
    async def within(pool: Pool, tenant: UUID | None = None) -> _T:
        return await act(RemediationDesk(pool), tenant)

    if all_tenants:
        return with_pool(within, role="headrace_writer", application="remediation")
    return with_tenant(api_key, within, role="headrace_writer", application="remediation")


def _pause(
    begins_at: datetime, ends_at: datetime | None, actor: str, reason: str, everybody: bool
) -> str:
    until = ends_at.isoformat(timespec="seconds") if ends_at else "it is resumed"
    return (
        f"paused for {'all tenants' if everybody else 'this tenant'} from "
        f"{begins_at.isoformat(timespec='seconds')} until {until} by {actor}"
        + (f": {reason}" if reason else "")
    )
