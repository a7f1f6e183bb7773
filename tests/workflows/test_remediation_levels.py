"""On call, a remediation is found by what its alert is now, on a real Temporal and a real database."""

import asyncio
from datetime import timedelta

import pytest

from schemas.rules import Level
from schemas.transitions import Transition
from tests.remedies import (
    LATER,
    PATIENT,
    Service,
    Ward,
    fired,
    leveled,
    like,
    resolved,
    switch,
)
from workflows.remediation.attributes import SEVERITY
from workflows.remediation.start import RemediationStarter, workflow_id

pytestmark = pytest.mark.timeout(120)


async def severity(acme: Ward, alert: Transition, level: Level) -> str:
    """Wait until Temporal finds the alert's one workflow by this level; return its id."""
    query = (
        f"HeadraceTenant = '{acme.tenant}' AND HeadraceRule = '{alert.rule}' "
        f"AND HeadraceSeverity = '{level}' AND ExecutionStatus = 'Running'"
    )
    async with asyncio.timeout(30):
        while not (found := [one.id async for one in acme.client.list_workflows(query)]):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    assert len(found) == 1
    return found[0]


async def test_it_is_found_by_tenant_rule_and_severity(acme: Ward, shop: Service) -> None:
    """In Temporal's UI, by the level that the alert has: it becomes worse, better, and is told of it again."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, level="warning", remediation=like(PATIENT, levels=("warning",)))
    worse = leveled(alert, "critical")
    better = leveled(worse, "warning")
    name = workflow_id(acme.tenant, alert.rule, alert.fingerprint)
    async with acme.worker():
        await acme.starter.handle(alert)
        await acme.reached("verifying")
        assert await severity(acme, alert, "warning") == name
        # It is no level that is remedied, and hours old.
        await acme.starter.handle(worse.model_copy(update={"stale": True}))
        assert await severity(acme, alert, "critical") == name
        await acme.starter.handle(better)
        assert await severity(acme, alert, "warning") == name
        await acme.starter.handle(worse)
        await acme.starter.handle(resolved(better))
        await acme.reached("succeeded")
        await acme.finished(alert)
    shown = (await acme.client.get_workflow_handle(name).describe()).typed_search_attributes
    assert shown.get(SEVERITY) == "warning"
    assert len(await acme.rows()) == 1


async def test_the_next_incident_has_its_own_severity(acme: Ward, shop: Service) -> None:
    """The level that is shown is that of the incident in hand, though the next has been heard of."""
    await acme.apply(switch(shop.url))
    first = fired(acme.tenant, remediation=like(PATIENT, cooldown=timedelta(0)))
    second = first.model_copy(update={"episode": LATER, "level": "warning"})
    async with acme.worker():
        await acme.starter.handle(first)
        await acme.reached("verifying")
        await acme.starter.handle(second)
        await severity(acme, first, "critical")
        await acme.starter.handle(resolved(first))
        await acme.reached("verifying", episode=LATER)
        await severity(acme, first, "warning")
        await acme.starter.handle(leveled(second, "critical"))
        await severity(acme, first, "critical")


async def test_a_level_of_an_alert_that_nobody_remedies_starts_nothing(acme: Ward) -> None:
    """There is no workflow to tell: that is no error."""
    alert = fired(acme.tenant, remediation=None)
    await acme.starter.handle(leveled(alert, "warning"))
    assert await acme.rows() == []


async def test_a_server_without_search_attributes_is_asked_for_none(
    acme: Ward, shop: Service
) -> None:
    """It would refuse the workflow's every step."""
    await acme.apply(switch(shop.url))
    alert = fired(acme.tenant, level="warning", remediation=PATIENT)
    starter = RemediationStarter(acme.client, acme.queue, acme.store, searchable=False)
    async with acme.worker():
        await starter.handle(alert)
        await acme.reached("verifying")
        await starter.handle(leveled(alert, "critical"))
        await starter.handle(resolved(alert))
        await acme.reached("succeeded")
        await acme.finished(alert)
    name = workflow_id(acme.tenant, alert.rule, alert.fingerprint)
    shown = (await acme.client.get_workflow_handle(name).describe()).typed_search_attributes
    assert shown.get(SEVERITY) is None
