"""Who approves, rejects or does not answer, on a real Temporal and a real database."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from schemas.errors import Invalid
from tests.remedies import (
    ASKING,
    Service,
    Ward,
    fired,
    like,
    resolved,
    switch,
)

pytestmark = pytest.mark.timeout(120)


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
