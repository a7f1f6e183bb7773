"""What people look up and order by hand: remediations, their trails, and pauses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.errors import Invalid
from schemas.named_queries import load
from sinks.transactions import Transactions

_SQL = load("sinks.sql", "remediations.sql")


@dataclass(frozen=True)
class Entry:
    """A remediation, as the row has it, and its trail where it was asked for."""

    facts: Mapping[str, Any]
    trail: list[dict[str, Any]]


class RemediationDesk(Transactions):
    """Through a pool in the role headrace_writer. Raises Temporary or Permanent, by what to do."""

    async def newest(
        self, tenant: UUID, state: str | None, rule: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """The newest of a tenant, in a state and of a rule where these are given."""
        async with self.transaction() as connection:
            rows = await connection.fetch(_SQL["list_remediations"], tenant, state, rule, limit)
        return [_facts(row) for row in rows]

    async def find(self, tenant: UUID, remediation: UUID) -> Entry:
        """One, with its trail. Raises Invalid when the tenant has none of this id."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["get_remediation"], tenant, remediation)
            if row is None:
                raise Invalid("unknown_remediation", f"There is no remediation {remediation}.")
            trail = await connection.fetch(_SQL["trail"], remediation)
        return Entry(_facts(row), [_facts(line) for line in trail])

    async def pause(
        self,
        tenant: UUID | None,
        begins_at: datetime | None,
        ends_at: datetime | None,
        actor: str,
        reason: str,
    ) -> tuple[datetime, datetime]:
        """Begin nothing for a tenant (None: for any) from now, or from then on; return from when to when."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(
                _SQL["pause"], tenant, begins_at, ends_at, actor, reason
            )
        return row["begins_at"], row["ends_at"]

    async def resume(self, tenant: UUID | None) -> int:
        """End the pauses of a tenant (None: those for all), those to come as well; return how many."""
        async with self.transaction() as connection:
            return len(await connection.fetch(_SQL["resume"], tenant))

    async def pauses(self, tenant: UUID) -> list[dict[str, Any]]:
        """Pauses that hold for a tenant, now or later."""
        async with self.transaction() as connection:
            return [dict(row) for row in await connection.fetch(_SQL["pauses"], tenant)]


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row, its JSON read."""
    return {
        name: json.loads(value) if name in {"labels", "incident", "input"} and value else value
        for name, value in row.items()
    }
