"""Alerts, playbooks and a service to be remedied: what tests of remediation are made of."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from aiohttp import web
from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.worker import Worker

from schemas.grants import Grants
from schemas.playbooks import Playbook
from schemas.rules import Level, Remediation
from schemas.transitions import Transition, fingerprint, transition_id
from sinks.database import connect_pool
from sinks.keys import Pool, Tenants
from sinks.notifications import NotificationStore
from sinks.playbooks import PlaybookStore
from sinks.remediation_trail import RemediationTrail
from sinks.remediations import RemediationStore
from sinks.verification import Verifier
from workflows.actions.actions import Actions
from workflows.actions.receivers import Receivers
from workflows.actions.secrets import Secrets
from workflows.addresses import Allowed
from workflows.metrics import Metrics
from workflows.notify.delivery import Delivery
from workflows.outgoing import Outgoing, OutgoingPolicy
from workflows.remediation.activities import RemediationActivities
from workflows.remediation.approvals import Approvals
from workflows.remediation.attributes import put_right
from workflows.remediation.start import RemediationStarter, workflow_id
from workflows.remediation.workflow import RemediationWorkflow

EPISODE = datetime(2026, 6, 1, 12, tzinfo=UTC)
FAST = Remediation(playbook="switch", approval="none", verify_after=timedelta(0))
"""Without approval, and without waiting for what comes of it."""
HOUR = timedelta(hours=1)
LATER = EPISODE + timedelta(hours=2)
PATIENT = FAST.model_copy(update={"verify_after": HOUR})
ASKING = PATIENT.model_copy(update={"approval": "required"})


def like(remediation: Remediation, **changes: object) -> Remediation:
    """The same, but for this."""
    return remediation.model_copy(update=changes)


def playbook(document: Any) -> Playbook:
    """A playbook of JSON data."""
    return Playbook.model_validate_json(json.dumps(document))


def switch(url: str, **more: Any) -> Playbook:
    """A playbook of one step, which asks a service."""
    step = {
        "id": "flip",
        "do": {"action": "http", "url": url, "body": {"host": "{{ labels.host }}"}},
    }
    return playbook({"name": "switch", "steps": [step], **more})


def fired(
    tenant: UUID,
    *,
    remediation: Remediation | None = FAST,
    number: int = 1,
    episode: datetime = EPISODE,
    labels: dict[str, str] | None = None,
    **more: Any,
) -> Transition:
    """A transition to firing."""
    labels = {"host": "web-1"} if labels is None else labels
    rule = more.pop("rule", "items-slow")
    mark = fingerprint(labels)
    facts: dict[str, Any] = {
        "id": transition_id(tenant, rule, mark, episode, number),
        "tenant_id": tenant,
        "rule": rule,
        "rule_version": 1,
        "fingerprint": mark,
        "labels": labels,
        "was": "pending",
        "state": "firing",
        "level": "critical",
        "episode": episode,
        "number": number,
        "at": episode,
        "value": 523.5,
        "threshold": 500.0,
        "condition": "p95(http_req_duration) over 30s > 500",
        "annotations": {"summary": "slow"},
        "remediation": remediation,
    }
    return Transition(**{**facts, **more})


def resolved(transition: Transition) -> Transition:
    """The transition that ends an episode."""
    return _after(transition, state="resolved")


def leveled(transition: Transition, level: Level) -> Transition:
    """The transition to another level of an alert that goes on firing."""
    return _after(transition, was_level=transition.level, level=level)


def _after(transition: Transition, **changes: object) -> Transition:
    it, number = transition, transition.number + 1
    made = transition_id(it.tenant_id, it.rule, it.fingerprint, it.episode, number)
    return it.model_copy(update={"id": made, "was": "firing", "number": number, **changes})


@dataclass
class Service:
    """An HTTP service that is asked to do things: it keeps what it was asked, and answers as it is told."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    answers: dict[str, list[int]] = field(default_factory=dict)
    """Statuses by path, one after the other; 200 when none is left."""
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """Paths that answer when their event is set."""

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.asked.append((request.method, request.raw_path, dict(request.headers), body))
        if request.path in self.held:
            await self.held[request.path].wait()
        statuses = self.answers.get(request.path)
        return web.Response(status=statuses.pop(0) if statuses else 200, text=f"heard {body}")

    @property
    def paths(self) -> list[str]:
        """What was asked, in order."""
        return [path for _, path, _, _ in self.asked]


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """A service on a real socket."""
    found = Service()
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", found._answer)  # noqa: SLF001 - its own
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


LOCAL = OutgoingPolicy(Allowed.parse("127.0.0.0/8"))


@dataclass
class Ward:
    """A tenant whose alerts are remedied, with a queue of its own."""

    dsn: str
    pool: Pool
    client: Client
    tenant: UUID
    queue: str
    grants: Grants = field(default_factory=Grants)
    environment: dict[str, str] = field(default_factory=dict)
    now: datetime | None = None
    per_tenant: int = 1000

    @property
    def store(self) -> RemediationStore:
        """Decides."""
        return RemediationStore(self.pool)

    @property
    def starter(self) -> RemediationStarter:
        """Takes transitions."""
        return RemediationStarter(self.client, self.queue, self.store, searchable=True)

    @property
    def approvals(self) -> Approvals:
        """Takes an approver's word."""

        async def connect() -> Client:
            return self.client

        return Approvals(connect)

    def activities(self) -> RemediationActivities:
        """What a worker of the ward does."""
        outgoing, secrets = Outgoing(LOCAL), Secrets(self.environment)
        delivery = Delivery(outgoing, secrets, LOCAL.allowed, ssl.create_default_context())
        receivers = Receivers(NotificationStore(self.pool), delivery)
        actions = Actions(outgoing, secrets, self.grants, receivers)
        return RemediationActivities(
            self.store,
            RemediationTrail(self.pool),
            PlaybookStore(self.pool),
            actions,
            Metrics(CollectorRegistry()),
            verifier=Verifier(self.pool),
            per_tenant=self.per_tenant,
            clock=lambda: self.now or datetime.now(UTC),
        )

    def worker(self, client: Client | None = None) -> Worker:
        """A worker of the ward; a second one needs a client of its own."""
        return Worker(
            client or self.client,
            task_queue=self.queue,
            workflows=[RemediationWorkflow],
            activities=self.activities().all,
        )

    async def apply(self, *playbooks: Playbook) -> None:
        """Store playbooks."""
        await PlaybookStore(self.pool).apply(self.tenant, playbooks)

    async def rows(self) -> list[asyncpg.Record]:
        """All remediations of the tenant, in order."""
        query = "SELECT * FROM remediations WHERE tenant_id = $1 ORDER BY created_at"
        return list(await self.pool.fetch(query, self.tenant))

    async def reached(self, *states: str, episode: datetime = EPISODE) -> asyncpg.Record:
        """Wait until the remediation of an episode is in one of these states."""
        query = "SELECT * FROM remediations WHERE tenant_id = $1 AND episode = $2"
        async with asyncio.timeout(30):
            while True:
                row = await self.pool.fetchrow(query, self.tenant, episode)
                if row is not None and row["state"] in states:
                    return row
                assert row is None or row["ended_at"] is None, (row["state"], row["reason"])
                await asyncio.sleep(0.02)

    async def trail(self, remediation: UUID) -> list[tuple[str, str, int, str]]:
        """The audit trail: kind, step, attempt, status."""
        rows = await self.pool.fetch(
            "SELECT kind, step, attempt, status FROM remediation_steps WHERE remediation_id = $1 "
            "ORDER BY attempt > 0, began_at, kind, step, attempt",
            remediation,
        )
        return [tuple(row) for row in rows]

    async def finished(self, transition: Transition, within: float = 30) -> None:
        """Wait until the alert's workflow has ended."""
        name = workflow_id(transition.tenant_id, transition.rule, transition.fingerprint)
        await asyncio.wait_for(self.client.get_workflow_handle(name).result(), within)


@asynccontextmanager
async def ward(dsn: str, temporal: str) -> AsyncIterator[Ward]:
    """A tenant of its own in a migrated database."""
    client = await Client.connect(temporal)
    await put_right(client)
    async with await connect_pool(
        dsn, role="headrace_writer", application="test", max_size=8
    ) as pool:
        async with await connect_pool(dsn, role=None, application="test", max_size=1) as admin:
            tenant, _ = await Tenants(admin).create("acme")
        yield Ward(dsn, pool, client, tenant.tenant_id, f"remedies-{uuid4()}")


def granted(document: Any) -> Grants:
    """Grants of JSON data."""
    return Grants.model_validate_json(json.dumps(document))


def hosts(count: int) -> Sequence[dict[str, str]]:
    """Labels of so many alerts."""
    return [{"host": f"web-{number}"} for number in range(count)]
