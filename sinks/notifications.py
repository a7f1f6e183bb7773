"""Notifications in the database: who is to be told of which alerts, and was told of what.

A row an alert and group, written before the group's workflow is woken and gone when nothing is left to
tell: what a killed worker had not done is still to be done.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from schemas.named_queries import load
from schemas.notifications import Grouping, Notifications
from sinks.transactions import Transactions

_SQL = load("sinks.sql", "notifications.sql")


@dataclass(frozen=True)
class Group:
    """What a receiver is told of at once. `key` is that of its grouping."""

    tenant: UUID
    receiver: str
    key: str


@dataclass(frozen=True)
class Told:
    """The transition that a group was told of last, and when."""

    episode: datetime
    number: int
    level: str
    at: datetime


@dataclass(frozen=True)
class Member:
    """An alert of a group, as it is now; `told` is None when the group was told nothing of it."""

    alert: str
    rule: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    level: str
    value: float | None
    threshold: float | None
    condition: str
    episode: datetime
    number: int
    since: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    stale: bool
    updated_at: datetime
    acknowledged: bool
    told: Told | None

    @property
    def is_firing(self) -> bool:
        """Whether it fires."""
        return self.state == "firing"


@dataclass(frozen=True)
class Silence:
    """A silence that is on."""

    matchers: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True)
class Firing:
    """An alert that fires, for what it may inhibit."""

    alert: str
    rule: str
    level: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Standing:
    """All that decides what a group is told. `settings` is None for a tenant that has none."""

    now: datetime
    settings: Notifications | None
    grouping: Grouping | None
    members: tuple[Member, ...]
    silences: tuple[Silence, ...]
    firing: tuple[Firing, ...]


@dataclass(frozen=True)
class Woken:
    """A group, and what its workflow is started with where there is none."""

    group: Group
    grouping: Grouping


Change: TypeAlias = tuple[str, datetime, int]
"""An alert's id, and the transition that it was at."""


class NotificationStore(Transactions):
    """Notifications through a pool in the role headrace_writer; to `apply`, headrace_owner.

    Methods raise Temporary while the database is away.
    """

    async def apply(self, tenant: UUID, settings: Notifications) -> bool:
        """Store a tenant's document; return whether that changed it."""
        async with self.transaction() as connection:
            text = settings.model_dump_json(by_alias=True, exclude_unset=True)
            return await connection.fetchval(_SQL["apply"], tenant, text) is not None

    async def settings(self, tenant: UUID) -> Notifications | None:
        """A tenant's document."""
        async with self.transaction() as connection:
            text = await connection.fetchval(_SQL["load_settings"], tenant)
        return None if text is None else Notifications.model_validate_json(text)

    async def versions(self) -> dict[UUID, int]:
        """The version of each tenant's document."""
        async with self.transaction() as connection:
            return dict(await connection.fetch(_SQL["versions"]))

    async def find(self, alert: str) -> tuple[UUID, Firing, bool] | None:
        """An alert's tenant, what it is, and whether it fires."""
        async with self.transaction() as connection:
            row = await connection.fetchrow(_SQL["find_alert"], alert)
        if row is None:
            return None
        found = Firing(alert, row["rule"], row["level"], json.loads(row["labels"]))
        return row["tenant_id"], found, row["state"] == "firing"

    async def firing(self, tenant: UUID) -> list[str]:
        """Ids of a tenant's alerts that fire."""
        async with self.transaction() as connection:
            return [row[0] for row in await connection.fetch(_SQL["firing"], tenant)]

    async def enrol(self, tenant: UUID, alert: str, groups: Sequence[Grouping]) -> None:
        """Put an alert into these groups, and out of those that were not told of it yet."""
        receivers = [group.receiver for group in groups]
        keys = [group.key for group in groups]
        groupings = [json.dumps(asdict(group)) for group in groups]
        async with self.transaction() as connection:
            await connection.execute(_SQL["leave"], alert, receivers, keys)
            await connection.execute(_SQL["enrol"], tenant, alert, receivers, keys, groupings)

    async def groups_of(self, alert: str) -> list[Woken]:
        """The groups that an alert is in."""
        async with self.transaction() as connection:
            return _woken(await connection.fetch(_SQL["groups_of_alert"], alert))

    async def groups(self, tenant: UUID) -> list[Woken]:
        """Every group of a tenant."""
        async with self.transaction() as connection:
            return _woken(await connection.fetch(_SQL["groups"], tenant))

    async def standing(self, group: Group) -> Standing:
        """What there is to tell a group, and what may keep it from being told."""
        async with self.transaction() as connection:
            now = await connection.fetchval(_SQL["now"])
            text = await connection.fetchval(_SQL["load_settings"], group.tenant)
            settings = None if text is None else Notifications.model_validate_json(text)
            members = await connection.fetch(
                _SQL["members"], group.tenant, group.receiver, group.key
            )
            silences = await connection.fetch(_SQL["silences"], group.tenant)
            firing = (
                await connection.fetch(_SQL["firing_labels"], group.tenant)
                if settings is not None and settings.inhibitions
                else []
            )
        return Standing(
            now=now,
            settings=settings,
            grouping=Grouping(**json.loads(members[-1]["grouping"])) if members else None,
            members=tuple(map(_member, members)),
            silences=tuple(Silence(tuple(row["matchers"]), row["expires_at"]) for row in silences),
            firing=tuple(
                Firing(row["alert_id"], row["rule"], row["level"], json.loads(row["labels"]))
                for row in firing
            ),
        )

    async def told(self, group: Group, members: Iterable[Member], at: datetime) -> None:
        """Note that a group was told of these as they are here."""
        ordered = sorted(members, key=lambda one: one.alert)
        async with self.transaction() as connection:
            await connection.execute(
                _SQL["told"],
                group.tenant,
                group.receiver,
                group.key,
                [one.alert for one in ordered],
                [one.episode for one in ordered],
                [one.number for one in ordered],
                [one.level for one in ordered],
                at,
            )

    async def done(self, group: Group, changes: Sequence[Change]) -> None:
        """Take alerts out of a group, unless they have changed since."""
        alerts = [alert for alert, _, _ in changes]
        async with self.transaction() as connection:
            # A transition that comes now waits, and enrols its alert again.
            await connection.execute(_SQL["hold"], alerts)
            await connection.execute(
                _SQL["done"],
                group.tenant,
                group.receiver,
                group.key,
                alerts,
                [episode for _, episode, _ in changes],
                [number for _, _, number in changes],
            )

    async def dissolve(self, group: Group) -> None:
        """Forget a group whose receiver is gone."""
        async with self.transaction() as connection:
            await connection.execute(_SQL["dissolve"], group.tenant, group.receiver, group.key)

    async def left(self, group: Group) -> bool:
        """Whether a group has alerts."""
        async with self.transaction() as connection:
            found: bool = await connection.fetchval(
                _SQL["left"], group.tenant, group.receiver, group.key
            )
        return found


def _woken(rows: Iterable[Any]) -> list[Woken]:
    return [
        Woken(
            Group(row["tenant_id"], row["receiver"], row["group_key"]),
            Grouping(**json.loads(row["grouping"])),
        )
        for row in rows
    ]


def _member(row: Any) -> Member:
    facts = {name: row[name] for name in Member.__annotations__ if name not in {"alert", "told"}}
    facts["labels"] = json.loads(facts["labels"])
    facts["annotations"] = json.loads(facts["annotations"])
    told = None
    if row["told_at"] is not None:
        told = Told(row["told_episode"], row["told_number"], row["told_level"], row["told_at"])
    return Member(alert=row["alert_id"], told=told, **facts)
