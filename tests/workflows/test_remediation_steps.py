"""What the steps of a playbook do and may not do, on a real Temporal and a real database."""

import json
from datetime import timedelta

import pytest

from tests.remedies import (
    EPISODE,
    FAST,
    Service,
    Ward,
    fired,
    granted,
    hosts,
    like,
    playbook,
    switch,
)
from workflows.remediation.start import workflow_id

pytestmark = pytest.mark.timeout(120)


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
