"""Playbooks of a tenant: every version is kept, the newest is run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.errors import Invalid
from schemas.named_queries import load
from schemas.playbook_steps import DEEPEST, check_all
from schemas.playbooks import Include, Playbook, plain, receivers_of
from sinks.copy import Connection
from sinks.notifications import NotificationStore
from sinks.transactions import Transactions

MOST = 1000
"""Playbooks of one tenant."""

_SQL = load("sinks.sql", "playbooks.sql")


@dataclass(frozen=True)
class StoredPlaybook:
    """A playbook and which version it is."""

    playbook: Playbook
    version: int
    created_at: datetime


class PlaybookStore(Transactions):
    """Through a pool in the role headrace_writer. Raises Temporary or Permanent, by what to do."""

    async def all(self, tenant: UUID) -> dict[str, StoredPlaybook]:
        """The newest version of each, by name."""
        async with self.transaction() as connection:
            return await _newest(connection, tenant, None)

    async def version(self, tenant: UUID, name: str, version: int) -> StoredPlaybook | None:
        """One version; None when there is none."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["playbook_version"], tenant, name, version)
        return row and _stored(row)

    async def with_includes(self, tenant: UUID, name: str) -> dict[str, StoredPlaybook]:
        """A playbook and all that it includes; empty when there is none of this name."""
        found: dict[str, StoredPlaybook] = {}
        wanted = {name}
        async with self.transaction() as connection:
            for _ in range(DEEPEST):
                more = await _newest(connection, tenant, sorted(wanted))
                found |= more
                wanted = {
                    step.do.playbook
                    for one in more.values()
                    for step in one.playbook.steps
                    if isinstance(step.do, Include)
                } - found.keys()
                if not wanted:
                    break
        return found

    async def check_receivers(self, tenant: UUID, playbooks: Iterable[Playbook]) -> None:
        """Raise Invalid for a playbook that tells a receiver that the tenant's notifications don't have."""
        settings = await NotificationStore(self._pool).settings(tenant)
        known = set() if settings is None else {one.name for one in settings.receivers}
        for playbook in playbooks:
            if missing := sorted(receivers_of(playbook) - known):
                raise Invalid(
                    "unknown_receiver",
                    f"{playbook.name} tells {', '.join(missing)}, which is no receiver of this tenant: "
                    "headrace notifications apply",
                )

    async def apply(
        self, tenant: UUID, playbooks: Iterable[Playbook], *, dry_run: bool = False
    ) -> dict[str, tuple[int, bool]]:
        """Store those that differ from their newest version; by name the version, and whether it is new.

        All or nothing. Raises Invalid when they don't fit together with those that are there.
        """
        given = {playbook.name: playbook for playbook in playbooks}
        async with self.transaction() as connection:
            await connection.execute(_SQL["lock_playbooks"], tenant)
            there = await _newest(connection, tenant, None)
            together = {name: one.playbook for name, one in there.items()} | given
            if len(together) > MOST:
                raise Invalid("too_many_playbooks", f"A tenant has at most {MOST} playbooks.")
            check_all(together)
            applied: dict[str, tuple[int, bool]] = {}
            for name, playbook in given.items():
                old = there.get(name)
                if old is not None and old.playbook == playbook:
                    applied[name] = (old.version, False)
                elif dry_run:
                    applied[name] = (old.version + 1 if old else 1, True)
                else:
                    document = json.dumps(plain(playbook))
                    version = await connection.fetchval(
                        _SQL["add_playbook"], tenant, name, document
                    )
                    applied[name] = (version, True)
            return applied


async def _newest(
    connection: Connection, tenant: UUID, names: list[str] | None
) -> dict[str, StoredPlaybook]:
    rows = await connection.fetch(_SQL["newest_playbooks"], tenant, names)
    return {row["name"]: _stored(row) for row in rows}


def _stored(row: Mapping[str, Any]) -> StoredPlaybook:
    return StoredPlaybook(
        Playbook.model_validate_json(row["document"]), row["version"], row["created_at"]
    )
