"""A tenant whose queries hang leaves the others' connections alone."""

import asyncio

import pytest

from query.database import TenantDatabase
from query.shares import Shares
from schemas.errors import Temporary
from sinks.database import connect_pool
from sinks.keys import Tenants


async def test_a_tenant_that_asks_too_much_waits_for_itself(database: str) -> None:
    """With every query of one tenant hanging, another is answered; the first is not refused its turn."""
    async with (
        await connect_pool(database, role=None, application="test") as admin,
        await connect_pool(database, role="headrace_reader", application="t", max_size=2) as pool,
    ):
        tenants = Tenants(admin)
        busy, calm = [(await tenants.create(name))[0].tenant_id for name in ("busy", "calm")]
        reads = TenantDatabase(pool, 30, shares=Shares(1))

        async def names() -> int:
            async with reads.reading(busy) as reading:
                return len(await reading.rows("catalog_names", "", None, 10))

        async with admin.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE")
            asking = [asyncio.create_task(names()) for _ in range(10)]
            for _ in range(5):
                async with reads.reading(calm) as reading:
                    assert await reading.rows("list_definitions", "", None, 10) == []
            assert not any(task.done() for task in asking)
        assert await asyncio.gather(*asking) == [0] * 10


async def test_who_waits_too_long_is_told_so(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that does not become free in time is a 503, not a wait without end."""
    monkeypatch.setattr("query.database._PATIENCE", 0)
    async with (
        await connect_pool(database, role=None, application="test") as admin,
        await connect_pool(database, role="headrace_reader", application="t", max_size=2) as pool,
    ):
        tenant = (await Tenants(admin).create("busy"))[0].tenant_id
        holder = TenantDatabase(pool, 30, shares=Shares(1))
        async with holder.reading(tenant):
            with pytest.raises(Temporary, match="busy"):
                async with TenantDatabase(pool, 0.1, shares=holder.shares).reading(tenant):
                    pass
