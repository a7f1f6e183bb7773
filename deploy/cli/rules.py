"""`headrace rules`: a tenant's alert rules, from files."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
import yaml

from deploy.cli import rehearsals
from deploy.cli.access import ApiKey, AsJson
from deploy.cli.files import text_of
from deploy.cli.pools import with_tenant
from deploy.cli.tables import show_rows
from schemas.durations import spell
from schemas.errors import Invalid, Permanent
from schemas.prometheus_rules import import_rules, to_json
from schemas.rule_files import read_rules
from schemas.rules import Rule
from sinks.rules import Change, RuleBook, TenantRule

_T = TypeVar("_T")
_SIGNS = {"make": "+", "change": "~", "delete": "-"}

Name = Annotated[str, typer.Argument(help="The rule's name.", show_default=False)]
Files = Annotated[
    list[Path],
    typer.Option("--file", "-f", help="A file of rules; repeat it for more.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    rules = typer.Typer(
        help="Alert rules of a tenant: apply files, list, show, delete, test; import Prometheus' own.",
        no_args_is_help=True,
    )
    rules.command("apply")(apply)
    rules.command("list")(list_all)
    rules.command("show")(show)
    rules.command("delete")(delete)
    rules.command("import")(import_prometheus)
    rules.command("test")(rehearsals.rehearse_rules)
    app.add_typer(rules, name="rules")


def apply(
    *,
    file: Files,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the tenant's rules that no file has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change; change nothing.")
    ] = False,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant's rules those of the files: all of them, or none if one is wrong.

    Safe to repeat. Running processes heed it within two seconds; alerts of series that a changed rule
    still matches go on.

        headrace rules apply -f rules.yaml --dry-run
    """
    wanted = _read(file)
    changes = _within(api_key, lambda book: book.apply(wanted, prune=prune, dry_run=dry_run))
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


def list_all(*, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show a tenant's rules, and those that definitions stand for by their alert_threshold."""
    found = _within(api_key, RuleBook.rules)
    if as_json:
        print(json.dumps({"rules": [_facts(one) for one in found]}))
        return
    rows: list[dict[str, object]] = [
        {
            "rule": one.rule.name if one.rule.enabled else f"{one.rule.name} (disabled)",
            "condition": one.rule.condition,
            "warning": _limit(one.rule, one.rule.warning),
            "critical": _limit(one.rule, one.rule.critical),
            "for": spell(one.rule.wait),
            "playbook": one.rule.remediation and one.rule.remediation.playbook,
        }
        for one in found
    ]
    show_rows("rules", rows)


def show(name: Name, *, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Print a rule as a file that `apply` takes."""
    found = [one for one in _within(api_key, RuleBook.rules) if one.rule.name == name]
    if not found:
        raise Permanent(f"There is no rule {name!r}: see headrace rules list.")
    if as_json:
        print(json.dumps(_facts(found[0])))
    else:
        written = {"rules": [json.loads(found[0].rule.document)]}
        print(yaml.safe_dump(written, sort_keys=False, allow_unicode=True), end="")


def delete(name: Name, *, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Delete a rule. Its alerts resolve."""
    _within(api_key, lambda book: book.delete(name))
    print(json.dumps({"deleted": name}) if as_json else f"deleted {name}")


def import_prometheus(
    file: Annotated[Path, typer.Argument(help="A Prometheus rule file.", show_default=False)],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the rules. [stdout]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn the alerts of a Prometheus rule file into a file that `apply` takes.

    What no rule can stand for is listed on stderr with the reason; then the exit code is 1.

        headrace rules import alerts.yml -o rules.yaml
    """
    try:
        found = import_rules(text_of(file), str(file))
    except Invalid as error:
        raise Permanent(str(error)) from error
    if as_json:
        print(
            json.dumps(to_json(found.rules) | {"refusals": [asdict(one) for one in found.refusals]})
        )
    else:
        written = yaml.safe_dump(to_json(found.rules), sort_keys=False, allow_unicode=True)
        if output is None:
            print(written, end="")
        else:
            output.write_text(written, encoding="utf-8")
        for one in found.refusals:
            typer.echo(f"{file}: group {one.group}: {one.rule}: {one.why}", err=True)
        typer.echo(f"{len(found.rules)} taken over, {len(found.refusals)} not", err=True)
    if found.refusals:
        raise typer.Exit(1)


def _read(files: Sequence[Path]) -> list[Rule]:
    found: dict[str, tuple[Path, Rule]] = {}
    for path in files:
        try:
            rules = read_rules(text_of(path), str(path))
        except Invalid as error:
            raise Permanent(str(error)) from error
        for rule in rules:
            if rule.name in found:
                raise Permanent(f"rule {rule.name!r} is in {found[rule.name][0]} and in {path}")
            found[rule.name] = path, rule
    return [rule for _, rule in found.values()]


def _limit(rule: Rule, level: float | None) -> str | None:
    return None if level is None else f"{rule.operator} {level:g}"


def _told(change: Change) -> list[str]:
    return [
        f"{_SIGNS[change.kind]} {change.name}",
        *(f"    {field}: {was} → {now}" for field, (was, now) in change.fields.items()),
    ]


def _facts(one: TenantRule) -> dict[str, object]:
    return {"version": one.version, "rule": json.loads(one.rule.model_dump_json(by_alias=True))}


def _within(api_key: str | None, act: Callable[[RuleBook], Awaitable[_T]]) -> _T:
    return with_tenant(
        api_key,
        lambda pool, tenant: act(RuleBook(pool, tenant)),
        role="headrace_owner",
        application="rules",
    )
