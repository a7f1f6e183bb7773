"""Rules of all tenants, as processes evaluate them: those that were made, and those of definitions."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from schemas.named_queries import load
from schemas.rules import Rule
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
