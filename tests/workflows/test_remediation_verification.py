"""Before anybody is woken the alerts are asked, on a real Temporal and a real database."""

import json
from datetime import timedelta

import pytest

from sinks.alerts import AlertStore
from tests.remedies import (
    ASKING,
    FAST,
    LATER,
    Service,
    Ward,
    fired,
    leveled,
    like,
    resolved,
    switch,
)

pytestmark = pytest.mark.timeout(120)


async def asked(acme: Ward) -> list[tuple[str, str, dict[str, str]]]:
    """What the trail says of asking: status, output, input."""
    rows = await acme.pool.fetch(
        "SELECT status, output, input FROM remediation_steps JOIN remediations USING (remediation_id)"
        " WHERE tenant_id = $1 AND kind = 'verification'",
        acme.tenant,
    )
    return [(row["status"], row["output"], json.loads(row["input"])) for row in rows]


async def test_an_alert_that_resolved_unheard_is_no_reason_to_escalate(
    acme: Ward, shop: Service
) -> None:
    """Its transition is recorded, and its signal was lost: the alerts say that it cleared."""
    await acme.apply(
        switch(f"{shop.url}/switch", escalate={"url": f"{shop.url}/page", "text": "help"})
    )
    alert = fired(acme.tenant)
    store = AlertStore(acme.pool)
    await store.record(alert)
    await store.record(resolved(alert))
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("succeeded")
        await acme.finished(alert)
    assert row["reason"] == "the alert resolved: at 2026-06-01 12:00:00Z"
    assert shop.paths == ["/switch"]
    question = {
        "rule": alert.rule,
        "fingerprint": alert.fingerprint,
        "episode": alert.episode.isoformat(),
    }
    assert await asked(acme) == [("succeeded", "resolved: at 2026-06-01 12:00:00Z", question)]


async def test_an_alert_that_fires_still_is_escalated(acme: Ward, shop: Service) -> None:
    """Also one of another level than it began with; the trail says what was seen."""
    await acme.apply(
        switch(f"{shop.url}/switch", escalate={"url": f"{shop.url}/page", "text": "help"})
    )
    alert = fired(acme.tenant)
    store = AlertStore(acme.pool)
    await store.record(alert)
    await store.record(leveled(alert, "warning"))
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("escalated")
        await acme.finished(alert)
    assert row["reason"] == "the alert has not resolved 0 s after the last step"
    assert shop.paths == ["/switch", "/page"]
    assert [one[:2] for one in await asked(acme)] == [
        ("failed", "firing: warning since 2026-06-01 12:00:00Z")
    ]


async def test_an_incident_that_another_has_followed_is_over(acme: Ward, shop: Service) -> None:
    """The alert resolved and fires again: that is another incident, with a remediation of its own."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, remediation=like(FAST, cooldown=timedelta(0)))
    again = alert.model_copy(update={"episode": LATER, "at": LATER})
    store = AlertStore(acme.pool)
    for transition in (alert, resolved(alert), again):
        await store.record(transition)
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("succeeded")
        await acme.starter.handle(again)
        await acme.reached("escalated", episode=LATER)
        await acme.finished(alert)
    assert row["reason"] == (
        "the alert resolved: it began again at 2026-06-01 14:00:00Z, and is firing"
    )
    assert len(shop.asked) == 2


async def test_an_alert_that_is_in_no_table_is_escalated(acme: Ward, shop: Service) -> None:
    """Nobody knows that it cleared; an older episode says nothing of this one."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant)
    other = fired(acme.tenant, rule="other", episode=LATER)
    older = fired(acme.tenant, rule="other")
    store = AlertStore(acme.pool)
    await store.record(older)
    await store.record(resolved(older))
    async with acme.worker():
        for one in (alert, other):
            await acme.starter.handle(one)
            await acme.reached("escalated", episode=one.episode)
            await acme.finished(one)
    told = {output for _, output, _ in await asked(acme)}
    assert told == {
        "unknown: there is no such alert",
        "unknown: what is known of the alert is older: resolved at 2026-06-01 12:00:00Z",
    }


async def test_what_resolved_unheard_while_nobody_approved_it_is_cancelled(
    acme: Ward, shop: Service
) -> None:
    """Nobody answered, and nobody is needed any more."""
    await acme.apply(switch(shop.url, escalate={"url": f"{shop.url}/page", "text": "help"}))
    alert = fired(acme.tenant, remediation=like(ASKING, approval_expires=timedelta(seconds=0.5)))
    store = AlertStore(acme.pool)
    await store.record(alert)
    await store.record(resolved(alert))
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("cancelled")
        await acme.finished(alert)
    assert row["reason"] == "the alert resolved before anything was done"
    assert not shop.asked
