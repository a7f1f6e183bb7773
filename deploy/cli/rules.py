"""`headrace rules`: a tenant's alert rules, from files."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
import yaml
from rich.console import Console
from rich.table import Table

from deploy.cli.context import resolve
from schemas.errors import Invalid, Permanent
from schemas.rule_files import read_rules
from schemas.rules import Rule
from schemas.settings import Settings
from sinks.database import connect_pool
from sinks.outages import OUTAGE, classify
from sinks.rules import Change, RuleBook, TenantRule, document

_T = TypeVar("_T")
_SIGNS = {"make": "+", "change": "~", "delete": "-"}

Tenant = Annotated[str, typer.Option(help="Whose rules.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Name = Annotated[str, typer.Argument(help="The rule's name.", show_default=False)]
Files = Annotated[
    list[Path],
    typer.Option("--file", "-f", help="A file of rules; repeat it for more.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    rules = typer.Typer(
        help="Alert rules of a tenant: apply files, list, show, delete.", no_args_is_help=True
    )
    rules.command("apply")(apply)
    rules.command("list")(list_all)
    rules.command("show")(show)
    rules.command("delete")(delete)
    app.add_typer(rules, name="rules")


def apply(
    *,
    tenant: Tenant,
    file: Files,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the tenant's rules that no file has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a tenant's rules those of the files: all of them, or none if one is wrong.

    Safe to repeat. Running processes heed it within two seconds; alerts of series that a changed rule
    still matches go on.

        headrace rules apply --tenant acme -f rules.yaml --dry-run
    """
    wanted = _read(file)
    changes = _within(tenant, lambda book: book.apply(wanted, prune=prune, dry_run=dry_run))
    if as_json:
        print(
            json.dumps(
                {"dry_run": dry_run, "changes": [asdict(one) for one in changes]}, default=str
            )
        )
        return
    for change in changes:
        print("\n".join(_told(change)))
    unchanged = len(wanted) - sum(one.kind != "delete" for one in changes)
    print(f"{len(changes)} {'to change' if dry_run else 'changed'}, {unchanged} as they were")


def list_all(*, tenant: Tenant, as_json: AsJson = False) -> None:
    """Show a tenant's rules, and those that definitions stand for by their alert_threshold."""
    found = _within(tenant, RuleBook.rules)
    if as_json:
        print(json.dumps({"rules": [_facts(one) for one in found]}))
        return
    if not found:
        print("no rules")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("rule", "condition", "warning", "critical", "for", "playbook"):
        table.add_column(name, overflow="fold")
    for one in found:
        rule = one.rule
        written = rule.model_dump(by_alias=True)
        table.add_row(
            rule.name if rule.enabled else f"{rule.name} (disabled)",
            rule.condition,
            *("-" if level is None else f"{rule.operator} {level:g}" for level in rule.levels),
            written["for"],
            rule.remediation.playbook if rule.remediation else "-",
        )
    Console().print(table)


def show(name: Name, *, tenant: Tenant, as_json: AsJson = False) -> None:
    """Print a rule as a file that `apply` takes."""
    found = [one for one in _within(tenant, RuleBook.rules) if one.rule.name == name]
    if not found:
        raise Permanent(f"{tenant} has no rule {name!r}: see headrace rules list.")
    if as_json:
        print(json.dumps(_facts(found[0])))
    else:
        written = {"rules": [json.loads(document(found[0].rule))]}
        print(yaml.safe_dump(written, sort_keys=False, allow_unicode=True), end="")


def delete(name: Name, *, tenant: Tenant, as_json: AsJson = False) -> None:
    """Delete a rule. Its alerts resolve."""
    _within(tenant, lambda book: book.delete(name))
    print(json.dumps({"deleted": name}) if as_json else f"deleted {name}")


def _read(files: Sequence[Path]) -> list[Rule]:
    found: dict[str, tuple[Path, Rule]] = {}
    for path in files:
        try:
            rules = read_rules(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Permanent(f"{path} can't be read: {error}") from error
        except Invalid as error:
            raise Permanent(f"{path}: {error}") from error
        for rule in rules:
            if rule.name in found:
                raise Permanent(f"rule {rule.name!r} is in {found[rule.name][0]} and in {path}")
            found[rule.name] = path, rule
    return [rule for _, rule in found.values()]


def _told(change: Change) -> list[str]:
    return [
        f"{_SIGNS[change.kind]} {change.name}",
        *(f"    {field}: {was} → {now}" for field, (was, now) in change.fields.items()),
    ]


def _facts(one: TenantRule) -> dict[str, object]:
    return {"version": one.version, "rule": json.loads(one.rule.model_dump_json(by_alias=True))}


def _within(tenant: str, act: Callable[[RuleBook], Awaitable[_T]]) -> _T:
    async def within() -> _T:
        try:
            async with await connect_pool(
                resolve(Settings(), "database").database,
                role="headrace_owner",
                application="rules",
                max_size=1,
            ) as pool:
                return await act(RuleBook(pool, tenant))
        except OUTAGE as error:
            raise classify(error) from error

    return asyncio.run(within())
