"""Tells a receiver of the tenant's notifications what a playbook says, in the receiver's own form."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from schemas.errors import Invalid, Temporary
from schemas.notifications import Notifications
from schemas.transitions import alert_id
from sinks.notifications import Group, Member
from workflows.actions.occasions import Occasion
from workflows.notify.notices import Item, Notice
from workflows.notify.types import Delivering

STEP = "remediation_step"
"""The label that tells these from the alert's own notifications, in an Alertmanager above all."""


class Documents(Protocol):
    """The tenants' notifications; see `sinks.notifications.NotificationStore`."""

    async def settings(self, tenant: UUID) -> Notifications | None:
        """A tenant's document. Raises Temporary while the database is away."""
        ...


class Receivers:
    """Over the documents as they are now, and the ways to receivers."""

    def __init__(self, documents: Documents, delivery: Delivering) -> None:
        self._documents = documents
        self._delivery = delivery

    async def names(self, tenant: UUID) -> set[str]:
        """Whom a tenant's playbooks may tell."""
        settings = await self._documents.settings(tenant)
        return set() if settings is None else {one.name for one in settings.receivers}

    async def tell(self, name: str, text: str, occasion: Occasion, seconds: float) -> str:
        """Tell a receiver; return what came of it. Raises Temporary, or Invalid when there is none of this name."""
        settings = await self._documents.settings(occasion.tenant_id)
        receiver = None if settings is None else settings.receiver(name)
        if receiver is None:
            raise unknown(name)
        try:
            async with asyncio.timeout(seconds):
                await self._delivery.send(receiver, _notice(name, text, occasion))
        except TimeoutError as error:
            raise Temporary(f"Receiver {name} was not told within {seconds:g} s.") from error
        return f"{name} was told ({receiver.kind})"


def unknown(name: str) -> Invalid:
    """There is no receiver of this name."""
    return Invalid(
        "unknown_receiver",
        f"There is no receiver {name!r}: headrace notifications show lists them.",
    )


def _notice(name: str, text: str, occasion: Occasion) -> Notice:
    """One alert that fires, with the text as its summary; the same notice for each attempt."""
    facts = occasion.facts
    member = Member(
        alert=alert_id(occasion.tenant_id, facts.rule, facts.fingerprint),
        rule=facts.rule,
        fingerprint=facts.fingerprint,
        labels={**facts.labels, STEP: occasion.step},
        annotations={
            **facts.annotations,
            "summary": text,
            "remediation": str(occasion.remediation_id),
        },
        state="firing",
        level=facts.level,
        value=facts.value,
        threshold=facts.threshold,
        condition=facts.condition,
        episode=occasion.since,
        number=0,
        since=occasion.since,
        fired_at=occasion.since,
        resolved_at=None,
        stale=False,
        updated_at=occasion.since,
        acknowledged=False,
        told=None,
    )
    key = f"remediation/{occasion.remediation_id}/{occasion.step}"
    group = Group(occasion.tenant_id, name, key)
    # Now: whoever checks a signature refuses an old one.
    return Notice(group, {"alertname": facts.rule}, (Item(member),), 0, datetime.now(UTC))
