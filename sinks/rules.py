"""Rules: of all tenants, as processes evaluate them; and of one, as people change them."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from schemas.errors import Permanent
from schemas.named_queries import load
from schemas.rules import Rule
from sinks.copy import Connection
from sinks.transactions import Pool

log = logging.getLogger(__name__)

_SQL = load("sinks.sql", "rules.sql")
_ODD = re.compile(r"[^a-zA-Z0-9._-]")


class TenantRule(NamedTuple):
    """A rule and whose it is. `version` grows with each change of the rule, or of its definition."""

    tenant_id: UUID
    version: int
    rule: Rule


async def load_rules(pool: Pool) -> Sequence[TenantRule]:
    """Every rule that is enabled, by tenant and name. Raises what the database's client raises.

    One that this version can't read is left out, and the log says so: the others go on.
    """
    rows = await pool.fetch(_SQL["load_rules"])
    found = [one for row in rows if (one := _readable(row)) is not None and one.rule.enabled]
    found += [_of_definition(row) for row in await pool.fetch(_SQL["load_thresholds"])]
    return sorted(found, key=lambda one: (one.tenant_id, one.rule.name))


@dataclass(frozen=True)
class Change:
    """What an apply does to a rule: make, change or delete it. `fields`: what of it differs, (was, is)."""

    kind: Literal["make", "change", "delete"]
    name: str
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


class RuleBook:
    """The rules of one tenant, as `headrace rules` shows and changes them. Needs the owner's role."""

    def __init__(self, pool: Pool, tenant_id: UUID) -> None:
        self._pool = pool
        self._tenant_id = tenant_id

    async def rules(self) -> Sequence[TenantRule]:
        """Those that were made, enabled or not, and those of definitions, by name."""
        async with self._pool.acquire() as connection:
            made = await self._made(connection)
            rows = await connection.fetch(_SQL["thresholds_of_tenant"], self._tenant_id)
        found = [*made.values(), *map(_of_definition, rows)]
        return sorted(found, key=lambda one: one.rule.name)

    async def apply(
        self, wanted: Sequence[Rule], *, prune: bool, dry_run: bool
    ) -> Sequence[Change]:
        """Make the rules what is wanted, all or nothing; with `prune` delete the others.

        Returns what changed, or with `dry_run` what would.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["hold_tenant"], self._tenant_id)
            there = {name: one.rule for name, one in (await self._made(connection)).items()}
            changes = differences(there, wanted, prune=prune)
            if not dry_run:
                documents = {rule.name: rule.document for rule in wanted}
                for change in changes:
                    if change.kind == "delete":
                        await connection.execute(_SQL["delete_rule"], self._tenant_id, change.name)
                    else:
                        await connection.execute(
                            _SQL["put_rule"], self._tenant_id, change.name, documents[change.name]
                        )
        return changes

    async def delete(self, name: str) -> None:
        """Delete a rule; its alerts resolve. Raises Permanent: no such rule."""
        if await self._pool.execute(_SQL["delete_rule"], self._tenant_id, name) == "DELETE 0":
            raise Permanent(f"There is no rule {name!r}: see headrace rules list.")

    async def _made(self, connection: Connection) -> dict[str, TenantRule]:
        rows = await connection.fetch(_SQL["rules_of_tenant"], self._tenant_id)
        return {row["name"]: one for row in rows if (one := _readable(row)) is not None}


def differences(there: Mapping[str, Rule], wanted: Sequence[Rule], *, prune: bool) -> list[Change]:
    """What makes rules that are there the wanted ones, by name."""
    found = []
    for rule in wanted:
        before = there.get(rule.name)
        if before is None:
            found.append(Change("make", rule.name))
        elif before != rule:
            was, now = before.model_dump(by_alias=True), rule.model_dump(by_alias=True)
            fields = {key: (was[key], now[key]) for key in now if was[key] != now[key]}
            found.append(Change("change", rule.name, fields))
    if prune:
        gone = there.keys() - {rule.name for rule in wanted}
        found += [Change("delete", name) for name in gone]
    return sorted(found, key=lambda change: change.name)


def _readable(row: Mapping[str, Any]) -> TenantRule | None:
    try:
        rule = Rule.model_validate_json(row["document"])
    except ValidationError as error:
        log.error(  # noqa: TRY400 # no traceback needed
            "rule %s of tenant %s is left out: %s", row["name"], row["tenant_id"], error
        )
        return None
    return TenantRule(row["tenant_id"], row["version"], rule)


def _of_definition(row: Mapping[str, Any]) -> TenantRule:
    """The rule that a definition's alert_threshold stands for: the latest value of each series."""
    warning, critical = row["warning"], row["critical"]
    low = warning is not None and critical is not None and critical < warning
    rule = Rule(
        name=definition_rule_name(row["name"]),
        metric=row["name"],
        function="value",
        operator="<=" if low else ">=",
        warning=warning,
        critical=critical,
        annotations={"summary": f"{row['name'][:200]} is at {{{{ value }}}}"},
    )
    return TenantRule(row["tenant_id"], row["version"], rule)


def definition_rule_name(metric: str) -> str:
    """Of the rule that a metric's definition stands for; names of tenants' own rules hold no `:`."""
    return f"definition:{_ODD.sub('_', metric)[:100]}"
