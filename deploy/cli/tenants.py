"""`headrace tenants`: tenants, their limits and their API keys."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, TypeVar

import typer

from deploy.cli import deletions
from deploy.cli.pools import with_pool
from deploy.cli.tables import show_rows
from schemas.keys import Scope
from sinks.cardinality import limit_series
from sinks.keys import GRACE, KeyFacts, Tenants

_T = TypeVar("_T")

Name = Annotated[str, typer.Argument(help="The tenant: a-z, 0-9, - and _.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class ScopeChoice(StrEnum):
    """The scopes of a key, as Typer can offer them."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    tenants = typer.Typer(
        help="Make, limit and delete tenants; make their API keys.", no_args_is_help=True
    )
    keys = typer.Typer(help="Make, show, rotate and revoke API keys.", no_args_is_help=True)
    metrics = typer.Typer(help="Delete a tenant's metrics.", no_args_is_help=True)
    metrics.callback()(lambda: None)  # one command alone would become `tenants metrics` itself
    tenants.command("create")(create)
    tenants.command("list")(list_all)
    tenants.command("limit")(limit)
    tenants.command("delete")(deletions.delete_tenant)
    keys.command("create")(create_key)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke_key)
    keys.command("rotate")(rotate_key)
    metrics.command("delete")(deletions.delete_metric)
    tenants.add_typer(keys, name="keys")
    tenants.add_typer(metrics, name="metrics")
    app.add_typer(tenants, name="tenants")


def create(name: Name, *, as_json: AsJson = False) -> None:
    """Make a tenant. Safe to repeat: one that is there stays as it is.

    headrace tenants create acme
    """
    tenant, made = _administer(lambda tenants: tenants.create(name))
    facts = {
        "name": tenant.name,
        "tenant_id": str(tenant.tenant_id),
        "created_at": _text(tenant.created_at),
        "created": made,
    }
    told = f"{tenant.name} [{'made' if made else 'was there'}]: tenant_id {tenant.tenant_id}"
    print(json.dumps(facts) if as_json else told)


def list_all(*, as_json: AsJson = False) -> None:
    """Show all tenants."""
    rows: list[dict[str, object]] = [
        {"name": t.name, "tenant_id": str(t.tenant_id), "created_at": _text(t.created_at)}
        for t in _administer(lambda tenants: tenants.tenants())
    ]
    show_rows("tenants", rows, as_json=as_json)


def limit(
    name: Name,
    *,
    max_series: Annotated[
        int | None, typer.Option(min=1, help="Series at the most. [that of the settings]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set how many series a tenant may have, or go back to the limit of the settings.

    Series past a limit that is lowered stay; new ones are rejected. Running ingest processes heed it
    within two seconds.

        headrace tenants limit acme --max-series 50000
        headrace tenants limit acme
    """
    facts = with_pool(
        lambda pool: limit_series(pool, name, max_series), role=None, application="tenants"
    )
    if as_json:
        print(json.dumps(asdict(facts)))
    else:
        told = "the limit of the settings" if facts.max_series is None else f"{facts.max_series:,}"
        print(f"{facts.tenant}: {facts.series:,} series, at most {told}")


def create_key(
    name: Name,
    *,
    scope: Annotated[
        list[ScopeChoice],
        typer.Option(help="What it may do; repeat it for more.", show_default=False),
    ],
    days: Annotated[
        int | None, typer.Option(min=1, max=36500, help="Days until it expires.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it. It is shown this once and kept nowhere.

    headrace tenants keys create acme --scope ingest --scope read
    """
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    scopes: list[Scope] = sorted({one.value for one in scope})
    key = _administer(lambda tenants: tenants.create_key(name, scopes, expires))
    facts = {"key": key, "tenant": name, "scopes": scopes, "expires_at": _text(expires)}
    # The key alone on stdout, so that KEY=$(headrace tenants keys create …) holds just that.
    print(json.dumps(facts) if as_json else key)


def list_keys(name: Name, *, as_json: AsJson = False) -> None:
    """Show what is known of a tenant's keys. The keys themselves are kept nowhere."""
    rows = [_facts(key) for key in _administer(lambda tenants: tenants.keys(name))]
    show_rows("keys", rows, as_json=as_json)


def revoke_key(
    key: Annotated[
        str, typer.Argument(help="The key's id (of `keys list`), or the key.", show_default=False)
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Revoke a key. Running processes refuse it within seconds. Safe to repeat."""
    revoked = _administer(lambda tenants: tenants.revoke(key))
    print(json.dumps({"revoked": revoked}) if as_json else f"revoked {revoked}")


def rotate_key(
    key: Annotated[
        str, typer.Argument(help="The key's id (of `keys list`), or the key.", show_default=False)
    ],
    *,
    grace: Annotated[
        int, typer.Option(min=0, max=525_600, help="Minutes that the old key still works.")
    ] = int(GRACE.total_seconds() // 60),
    as_json: AsJson = False,
) -> None:
    """Make a key with the scopes of this one and print it; the old one ends after the grace.

    headrace tenants keys rotate 1f6b0c9d22aa --grace 60
    """
    made = _administer(lambda tenants: tenants.rotate(key, timedelta(minutes=grace)))
    facts = {"key": made, "old_key_works_minutes": grace}
    print(json.dumps(facts) if as_json else made)


def _administer(act: Callable[[Tenants], Awaitable[_T]]) -> _T:
    return with_pool(lambda pool: act(Tenants(pool)), role=None, application="tenants")


def _facts(key: KeyFacts) -> dict[str, object]:
    return {
        "id": key.id,
        "scopes": list(key.scopes),
        "created_at": _text(key.created_at),
        "expires_at": _text(key.expires_at),
        "revoked_at": _text(key.revoked_at),
    }


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
