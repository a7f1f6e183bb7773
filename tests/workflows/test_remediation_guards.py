"""Caps, cooldown, pauses and maintenance windows hold, on a real Temporal and a real database."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client

from schemas.errors import Invalid
from sinks.remediation_desk import RemediationDesk
from tests.remedies import (
    ASKING,
    EPISODE,
    FAST,
    HOUR,
    LATER,
    Service,
    Ward,
    fired,
    hosts,
    like,
    playbook,
    switch,
)

pytestmark = pytest.mark.timeout(120)


async def test_caps_and_cooldown_are_exact(acme: Ward, shop: Service, temporal: str) -> None:
    """Of thirty incidents at once five are remedied, of another rule three more, and the same alert later."""
    await acme.apply(switch(shop.url))
    acme.per_tenant = 8
    capped = like(FAST, max_per_hour=5, cooldown=HOUR)
    alerts = [fired(acme.tenant, labels=labels, remediation=capped) for labels in hosts(30)]
    others = [
        fired(acme.tenant, labels=labels, remediation=like(capped, max_per_hour=30), rule="other")
        for labels in hosts(30)
    ]
    second = await Client.connect(temporal)
    async with acme.worker(), acme.worker(second):
        for wave in (alerts, others):
            await asyncio.gather(*(acme.starter.handle(alert) for alert in wave))
            for alert in wave:
                await acme.finished(alert)
        rows = await acme.rows()
        done = [row for row in rows if row["state"] == "escalated"]
        assert [row["rule"] for row in done] == ["items-slow"] * 5 + ["other"] * 3
        assert len(shop.asked) == 8
        reasons = {row["reason"].split(" (")[0] for row in rows if row["state"] == "refused"}
        assert reasons == {
            "cap: 5 runs of this rule in an hour, of 5 allowed",
            "cap: 8 runs of all rules in an hour, of 8 allowed",
        }
        # The next incident of an alert that was remedied just now: left alone before any cap is looked at.
        again = next(a for a in alerts if a.fingerprint == done[0]["fingerprint"])
        await acme.starter.handle(again.model_copy(update={"episode": LATER}))
        row = await acme.reached("refused", episode=LATER)
        assert row["reason"].startswith("cooldown: ")
        # An hour on, as the database sees it, there is room again.
        await acme.pool.execute(
            "UPDATE remediations SET began_at = began_at - interval '61 min', ended_at = ended_at - interval '61 min'"
        )
        last = EPISODE + timedelta(days=1)
        await acme.starter.handle(again.model_copy(update={"episode": last}))
        await acme.reached("escalated", episode=last)


async def test_a_pause_stops_what_would_begin_and_what_is_on(acme: Ward, shop: Service) -> None:
    """New incidents are refused, approvals too; a run stops before its next step. Then it is resumed."""
    steps = [{"id": n, "do": {"action": "http", "url": f"{shop.url}/{n}"}} for n in "ab"]
    await acme.apply(playbook({"name": "switch", "steps": steps}))
    shop.held["/a"] = asyncio.Event()
    running = fired(acme.tenant, remediation=FAST)
    waiting = fired(acme.tenant, rule="waiting", remediation=ASKING, episode=LATER)
    desk = RemediationDesk(acme.pool)
    async with acme.worker():
        await acme.starter.handle(waiting)
        row = await acme.reached("awaiting", episode=LATER)
        await acme.starter.handle(running)
        async with asyncio.timeout(30):
            while not shop.asked:  # noqa: ASYNC110 - a server of its own
                await asyncio.sleep(0.02)
        await desk.pause(None, None, None, "ana", "network change")
        shop.held["/a"].set()
        stopped = await acme.reached("escalated")
        with pytest.raises(Invalid, match="paused by ana: network change: resume it first"):
            await acme.approvals.decide(
                acme.tenant,
                waiting.rule,
                waiting.fingerprint,
                row["remediation_id"],
                approved=True,
                who="bob",
                why="",
            )
        new = EPISODE + timedelta(hours=5)
        await acme.starter.handle(fired(acme.tenant, rule="new", episode=new))
        refused = await acme.reached("refused", episode=new)
        assert await desk.resume(None) == 1
        await acme.approvals.decide(
            acme.tenant,
            waiting.rule,
            waiting.fingerprint,
            row["remediation_id"],
            approved=True,
            who="bob",
            why="",
        )
        await acme.reached("verifying", episode=LATER)
    assert shop.paths == ["/a", "/a", "/b"]
    told = "remediation is paused by ana: network change"
    assert (refused["reason"], stopped["reason"]) == (told, f"stopped before step b: {told}")


async def test_maintenance_windows_of_a_playbook_and_pauses_to_come(
    acme: Ward, shop: Service
) -> None:
    """Sunday from 22:00 to 02:00 it is left alone; a pause that begins tomorrow holds nothing up today."""
    await acme.apply(
        switch(shop.url, not_during=[{"days": ["sun"], "begin": "22:00", "end": "02:00"}])
    )
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await RemediationDesk(acme.pool).pause(acme.tenant, tomorrow, None, "ana", "")
    acme.now = datetime(2026, 6, 1, 1, 59, tzinfo=UTC)  # a Monday
    async with acme.worker():
        await acme.starter.handle(fired(acme.tenant))
        row = await acme.reached("refused", "escalated")
        assert row["reason"] == "it is within a maintenance window of the playbook"
        assert not shop.asked
