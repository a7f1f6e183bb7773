"""Remediation on a real Temporal and a real database, against a service that is really asked."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.remedies import FAST, Service, Ward, fired, resolved, service, switch, ward

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def acme(database: str, temporal: str) -> AsyncIterator[Ward]:
    async with ward(database, temporal) as found:
        yield found


@pytest.fixture
async def shop() -> AsyncIterator[Service]:
    async with service() as found:
        yield found


async def test_an_alert_is_remedied_and_written_down(acme: Ward, shop: Service) -> None:
    """The service is asked once, with the alert's label; the alert resolves, and that was it."""
    await acme.apply(switch(f"{shop.url}/switch/{{{{ labels.host }}}}"))
    alert = fired(
        acme.tenant, remediation=FAST.model_copy(update={"verify_after": timedelta(hours=1)})
    )
    async with acme.worker():
        await acme.starter.handle(alert)
        row = await acme.reached("verifying")
        await acme.starter.handle(resolved(alert))
        row = await acme.reached("succeeded")
        await acme.finished(alert)
    assert [(m, p, json.loads(b)) for m, p, _, b in shop.asked] == [
        ("POST", "/switch/web-1", {"host": "web-1"})
    ]
    assert row["reason"] == "the alert resolved"
    assert await acme.trail(row["remediation_id"]) == [
        ("step", "flip", 0, "planned"),
        ("step", "flip", 1, "succeeded"),
    ]
