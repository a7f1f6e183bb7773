"""Remediation on a real Temporal and a real database, against a service that is really asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client

from schemas.errors import Invalid
from schemas.rules import Remediation
from sinks.remediation_desk import RemediationDesk
from tests.remedies import (
    EPISODE,
    FAST,
    Service,
    Ward,
    fired,
    granted,
    hosts,
    playbook,
    resolved,
    service,
    switch,
    ward,
)
from workflows.remediation.start import workflow_id
from workflows.remediation.types import Change
from workflows.remediation.workflow import RemediationWorkflow

pytestmark = pytest.mark.timeout(120)

HOUR = timedelta(hours=1)
LATER = EPISODE + timedelta(hours=2)
PATIENT = FAST.model_copy(update={"verify_after": HOUR})
ASKING = PATIENT.model_copy(update={"approval": "required"})


@pytest.fixture
async def acme(database: str, temporal: str) -> AsyncIterator[Ward]:
    async with ward(database, temporal) as found:
        yield found


@pytest.fixture
async def shop() -> AsyncIterator[Service]:
    async with service() as found:
        yield found


def like(remediation: Remediation, **changes: object) -> Remediation:
    return remediation.model_copy(update=changes)


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


async def test_approval_is_asked_for_and_written_down(acme: Ward, shop: Service) -> None:
    """Nothing is done before it; who approved is in the trail; a second word is refused."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, remediation=ASKING)
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("awaiting")
        at = (acme.tenant, alert.rule, alert.fingerprint)
        with pytest.raises(Invalid, match="not in hand"):
            await acme.approvals.decide(*at, uuid4(), approved=True, who="ana", why="")
        with pytest.raises(Invalid, match="Say who"):
            await acme.approvals.decide(*at, row["remediation_id"], approved=True, who=" ", why="")
        assert not shop.asked
        await acme.approvals.decide(
            *at, row["remediation_id"], approved=True, who="ana", why="seen it"
        )
        row = await acme.reached("verifying")
        with pytest.raises(Invalid, match="nobody waits for a decision"):
            await acme.approvals.decide(
                *at, row["remediation_id"], approved=False, who="bob", why=""
            )
        await acme.starter.handle(resolved(alert))
        await acme.finished(alert)
        with pytest.raises(Invalid, match="Nobody works on it any more"):
            await acme.approvals.decide(
                *at, row["remediation_id"], approved=False, who="bob", why=""
            )
    assert (row["approver"], len(shop.asked)) == ("ana", 1)
    assert ("approval", "", 1, "approved") in await acme.trail(row["remediation_id"])


async def test_a_rejected_remediation_does_nothing(acme: Ward, shop: Service) -> None:
    """It ends, with the name of who rejected it."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, remediation=ASKING)
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("awaiting")
        await acme.approvals.decide(
            acme.tenant,
            alert.rule,
            alert.fingerprint,
            row["remediation_id"],
            approved=False,
            who="bob",
            why="known",
        )
        await acme.finished(alert)
    row = await acme.reached("rejected")
    assert (row["reason"], shop.asked) == ("rejected by bob", [])


async def test_an_unanswered_one_expires_and_is_escalated(acme: Ward, shop: Service) -> None:
    """Whoever the playbook names is told, with all that is known; nothing else is done."""
    await acme.apply(
        switch(
            f"{shop.url}/switch",
            escalate={"url": f"{shop.url}/page", "text": "{{ labels.host }}: {{ value }}"},
        )
    )
    alert = fired(acme.tenant, remediation=like(ASKING, approval_expires=timedelta(seconds=0.5)))
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("escalated")
        await acme.finished(alert)
    assert "nobody approved it in time" in row["reason"]
    assert shop.paths == ["/page"]
    told = json.loads(shop.asked[0][3])
    assert (told["text"], told["rule"], told["labels"]) == (
        "web-1: 523.5",
        "items-slow",
        {"host": "web-1"},
    )


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


async def test_a_step_that_fails_is_compensated_for(acme: Ward, shop: Service) -> None:
    """What succeeded is undone, the last first; a step that may fail does not stop the others."""

    def step(name: str, **more: object) -> dict[str, object]:
        return {
            "id": name,
            "do": {"action": "http", "url": f"{shop.url}/{name}"},
            "undo": {"action": "http", "url": f"{shop.url}/un{name}"},
            **more,
        }

    shop.answers = {"/b": [404], "/d": [400]}
    await acme.apply(
        playbook(
            {
                "name": "switch",
                "steps": [
                    step("a"),
                    step("b", on_failure="continue"),
                    step("after-b", when={"step": "b", "was": "failed"}),
                    step("not-after-b", when={"step": "b", "was": "succeeded"}),
                    step("warning", when={"levels": ["warning"]}),
                    step("elsewhere", when={"labels": {"host": ["web-2", "web-3"]}}),
                    step("d"),
                    step("e"),
                ],
            }
        )
    )
    alert = fired(acme.tenant)
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("escalated")
        await acme.finished(alert)
    assert shop.paths == ["/a", "/b", "/after-b", "/d", "/unafter-b", "/una"]
    assert row["reason"].startswith("step d failed: It answered 400")
    done = [one for one in await acme.trail(row["remediation_id"]) if one[2]]
    assert done == [
        ("step", "a", 1, "succeeded"),
        ("step", "b", 1, "failed"),
        ("step", "after-b", 1, "succeeded"),
        ("step", "not-after-b", 1, "skipped"),
        ("step", "warning", 1, "skipped"),
        ("step", "elsewhere", 1, "skipped"),
        ("step", "d", 1, "failed"),
        ("undo", "after-b", 1, "succeeded"),
        ("undo", "a", 1, "succeeded"),
    ]


async def test_retries_are_for_what_may_pass(acme: Ward, shop: Service) -> None:
    """503 twice, then 200: three attempts with the same key; a 404 is not asked again."""
    shop.answers = {"/a": [503, 503], "/b": [404]}
    do = {"action": "http", "retries": 3}
    steps = [{"id": n, "do": {**do, "url": f"{shop.url}/{n}"}} for n in "ab"]
    await acme.apply(playbook({"name": "switch", "steps": steps}))
    alert = fired(acme.tenant)
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("escalated")
    assert shop.paths == ["/a", "/a", "/a", "/b"]
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in shop.asked}
    assert keys == {f"{row['remediation_id']}/{name}" for name in "ab"}


async def test_a_dry_run_says_what_would_be_done(acme: Ward, shop: Service) -> None:
    """Filled in, in the trail; nothing is asked, and no cap is used up."""
    await acme.apply(switch(shop.url))
    alerts = [
        fired(acme.tenant, labels=labels, remediation=like(FAST, dry_run=True, max_per_hour=1))
        for labels in hosts(3)
    ]
    async with acme.worker():
        for alert in alerts:
            await acme.starter.handle(alert)
            await acme.finished(alert)
    rows = await acme.rows()
    assert [row["state"] for row in rows] == ["planned"] * 3
    planned = await acme.pool.fetchval(
        "SELECT input FROM remediation_steps WHERE remediation_id = $1", rows[0]["remediation_id"]
    )
    assert json.loads(planned)["body"] == {"host": "web-0"}
    assert not shop.asked


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


async def test_what_a_playbook_may_not_do_is_refused_before_anything_is_done(
    acme: Ward, shop: Service
) -> None:
    """Its first step is fine; the second is not granted, or needs a label that is not there."""
    first = {"id": "first", "do": {"action": "http", "url": shop.url}}
    cases = {
        "is not granted": {"action": "command", "command": "reboot"},
        "needs labels.rack": {"action": "http", "url": f"{shop.url}/{{{{ labels.rack }}}}"},
        "there is no playbook": None,
    }
    async with acme.worker():
        for number, (words, do) in enumerate(cases.items()):
            if do is not None:
                steps = [first, {"id": "second", "do": do}]
                await acme.apply(playbook({"name": f"p{number}", "steps": steps}))
            episode = EPISODE + timedelta(hours=number)
            remediation = like(FAST, playbook=f"p{number}")
            await acme.starter.handle(
                fired(acme.tenant, remediation=remediation, episode=episode, rule=f"r{number}")
            )
            row = await acme.reached("refused", episode=episode)
            assert words in row["reason"]
    assert not shop.asked


async def test_secrets_reach_the_service_and_nothing_else(acme: Ward, shop: Service) -> None:
    """Neither history nor database holds it, not even where the service echoes it."""
    acme.environment["OPS_TOKEN"] = "zq-very-secret"
    acme.grants = granted({"secrets": {"secret://env/OPS_TOKEN": {"tenants": [str(acme.tenant)]}}})
    do = {
        "action": "http",
        "url": f"{shop.url}/a",
        "headers": {"Authorization": "Bearer {{ secret://env/OPS_TOKEN }}"},
        "body": {"token": "secret://env/OPS_TOKEN", "label": "{{ labels.host }}"},
    }
    await acme.apply(playbook({"name": "switch", "steps": [{"id": "a", "do": do}]}))
    alert = fired(acme.tenant, labels={"host": "{{ secret://env/OPS_TOKEN }}"})
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("escalated")
        await acme.finished(alert)
    _, _, headers, body = shop.asked[0]
    assert headers["Authorization"] == "Bearer zq-very-secret"
    assert json.loads(body) == {
        "token": "zq-very-secret",
        "label": "{{ secret://env/OPS_TOKEN }}",
    }
    stored = await acme.pool.fetch(
        "SELECT s::text AS step FROM remediation_steps s WHERE remediation_id = $1",
        row["remediation_id"],
    )
    handle = acme.client.get_workflow_handle(
        workflow_id(acme.tenant, alert.rule, alert.fingerprint)
    )
    history = (await handle.fetch_history()).to_json()
    assert "zq-very-secret" not in history + str(stored)
    assert "•••" in str(stored)


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


async def test_it_is_found_by_tenant_rule_and_severity(acme: Ward, shop: Service) -> None:
    """On call, in Temporal's UI."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, remediation=PATIENT)
    query = (
        f"HeadraceTenant = '{acme.tenant}' AND HeadraceRule = 'items-slow' "
        "AND HeadraceSeverity = 'critical'"
    )
    async with acme.worker():
        await acme.starter.handle(alert)
        await acme.reached("verifying")
        async with asyncio.timeout(30):
            while not (found := [one.id async for one in acme.client.list_workflows(query)]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
    assert found == [workflow_id(acme.tenant, alert.rule, alert.fingerprint)]
