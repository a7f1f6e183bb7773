"""Remediation on a real Temporal and a real database, against a service that is really asked."""

import asyncio
import json
from datetime import timedelta

import pytest
from temporalio.client import Client

from sinks.database import connect_pool
from tests.remedies import (
    ASKING,
    EPISODE,
    FAST,
    LATER,
    PATIENT,
    Service,
    Ward,
    fired,
    like,
    playbook,
    resolved,
    switch,
)
from workflows.remediation.start import workflow_id
from workflows.remediation.types import Change
from workflows.remediation.workflow import RemediationWorkflow

pytestmark = pytest.mark.timeout(120)


async def test_an_alert_is_remedied_and_written_down(acme: Ward, shop: Service) -> None:
    """The service is asked once, with the alert's label; the alert resolves, and that was it."""
    await acme.apply(switch(f"{shop.url}/switch/{{{{ labels.host }}}}"))
    alert = fired(acme.tenant, remediation=PATIENT)
    async with acme.worker():
        await acme.starter.handle(alert)
        await acme.reached("verifying")
        await acme.starter.handle(resolved(alert))
        row = await acme.reached("succeeded")
        await acme.finished(alert)
    assert [(m, p, json.loads(b)) for m, p, _, b in shop.asked] == [
        ("POST", "/switch/web-1", {"host": "web-1"})
    ]
    assert (row["reason"], row["began_at"] < row["ended_at"]) == ("the alert resolved", True)
    assert await acme.trail(row["remediation_id"]) == [
        ("step", "flip", 0, "planned"),
        ("step", "flip", 1, "succeeded"),
    ]


async def test_what_is_told_again_starts_nothing_again(
    acme: Ward, shop: Service, temporal: str
) -> None:
    """Redelivered while it runs, after it ended, after it resolved, by two workers' consumers at once."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant)
    second = await Client.connect(temporal)
    async with acme.worker(), acme.worker(second):
        await asyncio.gather(*(acme.starter.handle(alert) for _ in range(8)))
        await acme.reached("escalated")
        await acme.finished(alert)
        for again in (alert, resolved(alert), alert):
            await acme.starter.handle(again)
            await acme.finished(alert)
        await acme.starter.handle(fired(acme.tenant, number=3, level="warning"))
        await acme.finished(alert)
    assert len(shop.asked) == len(await acme.rows()) == 1


async def test_nothing_starts_for_what_nobody_should_act_on(acme: Ward) -> None:
    """A stale transition, one without a playbook, one of a level that is not remedied, pending."""
    name = workflow_id(acme.tenant, "items-slow", fired(acme.tenant).fingerprint)
    for transition in (
        fired(acme.tenant, stale=True),
        fired(acme.tenant, remediation=None),
        fired(acme.tenant, level="warning", remediation=like(FAST, levels=("critical",))),
        fired(acme.tenant, state="pending", was="inactive"),
        resolved(fired(acme.tenant)),
    ):
        await acme.starter.handle(transition)
    assert not [one async for one in acme.client.list_workflows(f"WorkflowId = '{name}'")]


async def test_an_alert_that_resolves_cancels_what_is_left(acme: Ward, shop: Service) -> None:
    """While it waits for approval; in the middle of the steps, after the one that is on."""
    steps = [{"id": name, "do": {"action": "http", "url": f"{shop.url}/{name}"}} for name in "abc"]
    steps.insert(1, {"id": "pause", "do": {"action": "wait", "duration": "1h"}})
    await acme.apply(switch(shop.url), playbook({"name": "long", "steps": steps}))
    first = fired(acme.tenant, remediation=ASKING)
    second = fired(
        acme.tenant, rule="other", remediation=like(PATIENT, playbook="long"), episode=LATER
    )
    async with acme.worker():
        await acme.starter.handle(first)
        await acme.reached("awaiting")
        await acme.starter.handle(resolved(first))
        row = await acme.reached("cancelled")
        assert row["reason"] == "the alert resolved before anything was done"

        await acme.starter.handle(second)
        async with asyncio.timeout(30):
            while shop.paths != ["/a"]:  # noqa: ASYNC110 - a server of its own
                await asyncio.sleep(0.02)
        await acme.starter.handle(resolved(second))
        row = await acme.reached("succeeded", episode=LATER)
        await acme.finished(second)
    assert shop.paths == ["/a"]
    # The server has answered; whether the pause has begun by then is the scheduler's affair.
    assert row["reason"] in {
        "the alert resolved after step a",
        "the alert resolved after step pause",
    }


async def test_a_resolution_that_overtakes_leaves_its_row(acme: Ward, shop: Service) -> None:
    """Told before a worker was there to begin: written down as cancelled, so that nothing begins later."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant)
    await acme.starter.handle(alert)
    await acme.starter.handle(resolved(alert))
    async with acme.worker():
        await acme.finished(alert)
        await acme.starter.handle(alert)
        await acme.finished(alert)
    assert [row["state"] for row in await acme.rows()] == ["cancelled"]
    assert not shop.asked


async def test_a_long_wait_continues_as_new(acme: Ward, shop: Service) -> None:
    """Two thousand signals later it is another run of the workflow, with the same remediation in hand."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, remediation=ASKING)
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("awaiting")
        name = workflow_id(acme.tenant, alert.rule, alert.fingerprint)
        handle = acme.client.get_workflow_handle(name)
        first = (await handle.describe()).run_id
        for _ in range(42):
            noise = Change(EPISODE.isoformat(), firing=True)
            await asyncio.gather(
                *(handle.signal(RemediationWorkflow.changed, noise) for _ in range(50))
            )
        async with asyncio.timeout(30):
            while (await handle.describe()).run_id == first:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        await acme.approvals.decide(
            acme.tenant,
            alert.rule,
            alert.fingerprint,
            row["remediation_id"],
            approved=True,
            who="ana",
            why="",
        )
        await acme.reached("verifying")
        await acme.starter.handle(resolved(alert))
        await acme.reached("succeeded")
    assert len(shop.asked) == len(await acme.rows()) == 1


async def test_incidents_of_one_alert_follow_each_other(acme: Ward, shop: Service) -> None:
    """A second episode that begins while the first is in hand waits for its end, and gets a row of its own."""
    await acme.apply(switch(shop.url))
    first = fired(acme.tenant, remediation=like(PATIENT, cooldown=timedelta(0)))
    second = first.model_copy(update={"episode": LATER})
    async with acme.worker():
        await acme.starter.handle(first)
        await acme.reached("verifying")
        await acme.starter.handle(second)
        assert len(await acme.rows()) == 1
        await acme.starter.handle(resolved(first))
        await acme.reached("verifying", episode=LATER)
        await acme.starter.handle(resolved(second))
        await acme.reached("succeeded", episode=LATER)
        await acme.finished(first)
    assert len(shop.asked) == 2


async def test_one_whose_workflow_was_ended_from_outside_is_escalated(
    acme: Ward, shop: Service
) -> None:
    """Terminated by a person in the middle: the next that hears of the incident does not begin again."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, remediation=PATIENT)
    async with acme.worker():
        await acme.starter.handle(alert)
        await acme.reached("verifying")
        name = workflow_id(acme.tenant, alert.rule, alert.fingerprint)
        await acme.client.get_workflow_handle(name).terminate()
        await acme.starter.handle(alert)
        row = await acme.reached("escalated")
    assert "ended from outside" in row["reason"]
    assert len(shop.asked) == 1


async def test_labels_of_a_mebibyte_are_a_clear_refusal(acme: Ward, shop: Service) -> None:
    """Too large for a history, or for a request: nothing is done, and the row says why."""
    await acme.apply(switch(shop.url))
    huge = fired(acme.tenant, labels={"host": "x" * 2**20})
    large = fired(acme.tenant, labels={"host": "y" * 100_000}, episode=LATER)
    async with acme.worker():
        await acme.starter.handle(huge)
        await acme.starter.handle(huge)
        await acme.starter.handle(large)
        first = await acme.reached("refused")
        second = await acme.reached("refused", episode=LATER)
    assert "larger than 262144 bytes" in first["reason"]
    assert "becomes 100000 characters long" in second["reason"]
    assert (len(first["labels"]) < 1000, shop.asked) == (True, [])


async def test_one_that_is_deleted_meanwhile_ends_quietly(acme: Ward, shop: Service) -> None:
    """With its metric or tenant: what is on is done, nothing more is, and no workflow fails for it."""
    wait = {"id": "pause", "do": {"action": "wait", "duration": "1ms"}}
    steps = [{"id": name, "do": {"action": "http", "url": f"{shop.url}/{name}"}} for name in "ab"]
    await acme.apply(playbook({"name": "switch", "steps": [steps[0], wait, steps[1]]}))
    shop.held["/a"] = asyncio.Event()
    alert = fired(acme.tenant)
    async with acme.worker():
        await acme.starter.handle(alert)
        async with asyncio.timeout(30):
            while not shop.asked:  # noqa: ASYNC110 - a server of its own
                await asyncio.sleep(0.02)
        async with await connect_pool(acme.dsn, role="headrace_owner", application="test") as pool:
            await pool.execute("DELETE FROM remediations")
        shop.held["/a"].set()
        await acme.finished(alert)
    assert (shop.paths, await acme.rows()) == (["/a"], [])
