"""Playbooks tell the receivers of the tenant's notifications, on a real Temporal and a real database."""

import json
from typing import Any

import pytest

from schemas.errors import Invalid
from schemas.notifications import Notifications
from sinks.database import connect_pool
from sinks.notifications import NotificationStore
from sinks.playbooks import PlaybookStore
from tests.receivers import hook
from tests.remedies import EPISODE, LATER, Service, Ward, fired, playbook, switch

pytestmark = pytest.mark.timeout(120)

SAY = {"action": "notify", "receiver": "ops", "text": "{{ labels.host }} is at {{ value }}"}


async def notifications(acme: Ward, **receiver: Any) -> None:
    """Store a document with the receiver ops."""
    document = {"receivers": [{"name": "ops", **receiver}], "route": {"receiver": "ops"}}
    settings = Notifications.model_validate_json(json.dumps(document))
    async with await connect_pool(
        acme.dsn, role="headrace_owner", application="test", max_size=1
    ) as pool:
        await NotificationStore(pool).apply(acme.tenant, settings)


async def test_a_receiver_is_told_in_its_own_form(acme: Ward) -> None:
    """A signed webhook, once, with the text as summary; retried, it is the same notice."""
    acme.environment["HOOK"] = "zq-hook-secret"
    async with hook() as told:
        await notifications(acme, webhook={"url": told.url, "secret": "secret://env/HOOK"})
        told.status = 503
        steps = [{"id": "say", "do": {**SAY, "retries": 5}}]
        await acme.apply(playbook({"name": "switch", "steps": steps}))
        alert = fired(acme.tenant)
        async with acme.worker():
            await acme.starter.handle(alert)
            await told.until(lambda hook: hook.refused == 2)
            told.status = 200
            row = await acme.reached("escalated")
            await acme.finished(alert)
    ((headers, _),) = told.requests
    (body,) = told.bodies
    (one,) = body["alerts"]
    assert one["annotations"] == {
        "summary": "web-1 is at 523.5",
        "remediation": str(row["remediation_id"]),
    }
    assert one["labels"] == {
        "alertname": "items-slow",
        "severity": "critical",
        "host": "web-1",
        "remediation_step": "say",
    }
    assert body["groupKey"] == f"ops/remediation/{row['remediation_id']}/say"
    assert headers["X-Headrace-Signature"].startswith("sha256=")
    lines = await acme.pool.fetch(
        "SELECT status, input, output FROM remediation_steps WHERE remediation_id = $1 AND step = 'say'"
        " ORDER BY attempt",
        row["remediation_id"],
    )
    assert [line["status"] for line in lines] == ["planned", "failed", "failed", "succeeded"]
    assert json.loads(lines[0]["input"]) == {
        "action": "notify",
        "receiver": "ops",
        "text": "web-1 is at 523.5",
    }
    assert lines[-1]["output"] == "ops was told (webhook)"
    assert "zq-hook-secret" not in str(lines)


async def test_an_escalation_tells_a_receiver(acme: Ward, shop: Service) -> None:
    """Here as people read it in a chat."""
    async with hook() as told:
        await notifications(acme, slack={"url": told.url})
        escalate = {"receiver": "ops", "text": "{{ rule }} needs you"}
        await acme.apply(switch(f"{shop.url}/switch", escalate=escalate))
        alert = fired(acme.tenant)
        async with acme.worker():
            await acme.starter.handle(alert)
            await acme.reached("escalated")
            await acme.finished(alert)
    (body,) = told.bodies
    (line,) = body["attachments"]
    assert line["text"].startswith("critical: items-slow needs you (value 523.5) — host=web-1")
    assert body["text"].startswith("[FIRING:1] items-slow")


async def test_a_receiver_that_is_not_there_is_said_before_anything_is_done(
    acme: Ward, shop: Service
) -> None:
    """When the playbook is applied by command, and when an alert would start it."""
    first = {"id": "first", "do": {"action": "http", "url": shop.url}}
    book = playbook({"name": "switch", "steps": [first, {"id": "say", "do": SAY}]})
    store = PlaybookStore(acme.pool)
    with pytest.raises(Invalid, match="switch tells ops, which is no receiver of this tenant"):
        await store.check_receivers(acme.tenant, [book])
    await acme.apply(book)
    async with acme.worker():
        await acme.starter.handle(fired(acme.tenant))
        row = await acme.reached("refused")
        assert row["reason"].startswith("step say: There is no receiver 'ops'")
        assert not shop.asked
        async with hook() as told:
            await notifications(acme, webhook={"url": told.url})
            await store.check_receivers(acme.tenant, [book])
            await acme.starter.handle(fired(acme.tenant, rule="other", episode=LATER))
            await acme.reached("escalated", episode=LATER)
            assert len(told.bodies) == 1


async def test_a_receiver_that_goes_meanwhile_is_said_in_the_trail(acme: Ward) -> None:
    """It was there when it was approved; no other is told in its place."""
    async with hook() as told:
        await notifications(acme, webhook={"url": told.url})
        steps = [
            {"id": "pause", "do": {"action": "wait", "duration": "1s"}},
            {"id": "say", "do": SAY},
        ]
        await acme.apply(playbook({"name": "switch", "steps": steps}))
        async with acme.worker():
            await acme.starter.handle(fired(acme.tenant))
            await acme.reached("running", episode=EPISODE)
            async with await connect_pool(
                acme.dsn, role="headrace_owner", application="test", max_size=1
            ) as pool:
                await pool.execute("DELETE FROM notification_settings")
            row = await acme.reached("escalated")
    assert row["reason"].startswith("step say failed: There is no receiver 'ops'")
    assert not told.bodies
