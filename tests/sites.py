"""A database with two tenants in it, and the read API over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from deploy.http_metrics import Measured
from query.api import create_api
from query.database import TenantDatabase
from schemas.runs import PartitionSent, RunFinished, RunStarted, Threshold
from schemas.series import canonical
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring, Pool, Tenants

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Site:
    """A migrated database with two tenants, and the API over it.

    `database` is what the API reads and writes with, over pools of one connection: every request gets
    the one that the request before it had.
    """

    admin: Pool
    reader: Pool
    database: TenantDatabase
    client: httpx.AsyncClient
    tenants: dict[str, UUID] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    admin_keys: dict[str, str] = field(default_factory=dict)

    async def add_tenant(self, name: str) -> None:
        """Make a tenant with a key that may read, and one that may administer."""
        tenants = Tenants(self.admin)
        tenant, _ = await tenants.create(name)
        self.tenants[name] = tenant.tenant_id
        self.keys[name] = await tenants.create_key(name, ["read"])
        self.admin_keys[name] = await tenants.create_key(name, ["admin"])

    async def get(self, path: str, who: str = "acme", **parameters: Any) -> httpx.Response:
        """Ask the API as a tenant."""
        return await self.client.get(path, params=parameters, headers={"X-API-Key": self.keys[who]})

    async def manage(
        self, method: str, path: str, who: str = "acme", **request: Any
    ) -> httpx.Response:
        """Ask the API as a tenant's admin; `request` is httpx's (json, params, headers)."""
        headers = {"X-API-Key": self.admin_keys[who], **request.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **request)

    async def store(
        self, who: str, name: str, labels: dict[str, str], *points: tuple[datetime, Any]
    ) -> None:
        """Store points of one series as the sink does."""
        tenant = self.tenants[who]
        series = canonical(tenant, name, msgspec.json.encode(labels))
        series_id = await self.admin.fetchval(
            "SELECT series_id FROM add_series($1, ARRAY[$2], ARRAY[$3], ARRAY[$4::bytea], 1000000, 1000000)",
            *series,
        )
        await self.admin.execute(
            "SELECT ensure_samples($1::date[])", sorted({at.date() for at, _ in points})
        )
        rows = [
            (
                at,
                series_id,
                value if type(value) in {int, float} else None,
                value if type(value) is bool else None,
                value if type(value) is str else None,
            )
            for at, value in points
        ]
        await self.admin.executemany("INSERT INTO samples VALUES ($1, $2, $3, $4, $5)", rows)
        await self.admin.executemany(
            "INSERT INTO rollup_dirty (level, begin_at, end_at) SELECT 'raw', m, m + interval '1 minute' "
            "FROM date_bin('1 minute', $1::timestamptz, 'epoch') m",
            [(at,) for at, _ in points],
        )


class Obedient:
    """Takes every word of an approver, and does nothing."""

    async def decide(self, *_: object, **__: object) -> None:
        """See `query.parts.Approvals`."""


@asynccontextmanager
async def serving(dsn: str, statement_timeout: float = 10.0) -> AsyncIterator[Site]:
    async with (
        await connect_pool(dsn, role=None, application="test") as admin,
        await connect_pool(
            dsn,
            role="headrace_reader",
            application="test",
            max_size=1,
        ) as pool,
        await connect_pool(
            dsn,
            role="headrace_editor",
            application="test",
            max_size=1,
        ) as editors,
    ):
        database = TenantDatabase(pool, statement_timeout, editors)
        registry = CollectorRegistry()
        api = create_api(
            DatabaseKeyring(pool),
            database,
            registry=registry,
            clock=lambda: NOW,
            approvals=Obedient(),
        )
        transport = httpx.ASGITransport(Measured(api, registry), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            site = Site(admin, pool, database, client)
            await site.add_tenant("acme")
            await site.add_tenant("other")
            yield site


def at(minutes: float) -> datetime:
    """A time so many minutes before now."""
    return NOW - minutes * MINUTE


async def store_run(site: Site, who: str, execution: UUID, *, finished: bool = True) -> None:
    """A run as the post-test workflow leaves it."""
    tenant = site.tenants[who]
    threshold = Threshold(metric="http_req_duration", expression="p(95)<500", k6_passed=True)
    started = RunStarted(
        execution_id=execution,
        tenant_id=tenant,
        at=at(10),
        runner="r1",
        test="basic",
        script="basic.js",
        thresholds=[threshold],
    )
    runners: dict[str, Any] = {"r1": {"started": started.model_dump(mode="json")}}
    if finished:
        ended = RunFinished(
            execution_id=execution,
            tenant_id=tenant,
            at=at(9),
            runner="r1",
            topic="t",
            sent=[PartitionSent(partition=0, points=900, last_offset=9)],
            exit_code=0,
            metrics={"http_reqs": "counter"},
            thresholds=[threshold],
            summary={
                "metrics": {
                    "http_reqs": {"count": 600, "rate": 10.0},
                    "http_req_duration": {"avg": 12.5, "p(95)": 20.0},
                }
            },
        )
        runners["r1"]["finished"] = ended.model_dump(mode="json")
    judged = [{**threshold.model_dump(), "observed": 20.5, "passed": True}] if finished else []
    await site.admin.execute(
        "INSERT INTO runs (execution_id, tenant_id, test, script, state, started_at, finished_at,"
        " runners, metrics, thresholds, verdict) VALUES ($1,$2,'basic','basic.js',$3,$4,$5,$6,$7,$8,$9)",
        execution,
        tenant,
        "finished" if finished else "running",
        at(10),
        at(9) if finished else None,
        msgspec.json.encode(runners).decode(),
        '{"http_reqs": "counter"}',
        msgspec.json.encode(judged).decode(),
        "passed" if finished else None,
    )
    if not finished:
        return
    await site.admin.execute(
        "INSERT INTO run_ledger VALUES ($1, 't', 0, 600, 0), ($1, 't', 1, 299, 1)", execution
    )
    shape = [
        ("http_reqs", 600, 600.0),
        ("http_req_failed", 600, 6.0),
        ("http_req_duration", 600, 7500.0),
        ("checks", 100, 99.0),
        ("iterations", 300, 300.0),
        ("data_sent", 300, 4096.0),
    ]
    rows: list[tuple[Any, ...]] = [
        (execution, "summary", metric, None, None, None, n, total, total / n)
        for metric, n, total in shape
    ]
    rows += [
        (execution, "endpoint", "http_req_duration", "GET /items", "GET", status, n, n * 12.5, 12.5)
        for status, n in (("200", 590), ("500", 10))
    ]
    await site.admin.executemany(
        "INSERT INTO k6_aggregates VALUES ($1,$2,NULL,$3,$4,$5,$6,$7,$8,1,30,$9,12,18,20.5,25)",
        rows,
    )
