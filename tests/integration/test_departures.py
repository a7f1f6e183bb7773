"""A client that goes away over a real connection: its query ends in the database."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from deploy.http_metrics import Measured
from query.api import create_api
from query.database import TenantDatabase
from sinks.database import connect_pool
from sinks.keys import DatabaseKeyring, Pool, Tenants

NAMES = "/api/v1/metrics/names"
_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'reader' AND state = 'active'
  AND wait_event_type = 'Lock'
"""


@dataclass(frozen=True)
class Served:
    """The API on a port, over pools of one connection that nobody resets."""

    port: int
    admin: Pool
    reader: Pool
    keys: dict[str, str]

    async def send(self, who: str, method: str = "GET", body: bytes = b"") -> asyncio.StreamWriter:
        """Ask for names and don't wait for the answer."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(
            f"{method} {NAMES} HTTP/1.1\r\nHost: api\r\nX-API-Key: {self.keys[who]}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        return writer

    async def until_waiting(self, n: int) -> None:
        """Return when so many queries of readers wait for a lock; the test's own time limit ends it."""
        while True:
            if n == await self.admin.fetchval(_WAITING):
                return
            await asyncio.sleep(0.02)  # there is no event of the database to wait for


async def reset_nothing(_: asyncpg.Connection) -> None:
    """As behind a pooler."""


@pytest.fixture
async def served(database: str) -> AsyncIterator[Served]:
    async with (
        await connect_pool(database, role=None, application="test") as admin,
        await connect_pool(database, role="headrace_reader", application="keys") as keyring,
        asyncpg.create_pool(
            database,
            min_size=1,
            max_size=1,
            reset=reset_nothing,
            server_settings={"role": "headrace_reader", "application_name": "reader"},
        ) as reader,
    ):
        keys = {}
        for name in ("acme", "other"):
            await Tenants(admin).create(name)
            keys[name] = await Tenants(admin).create_key(name, ["read"])
        registry = CollectorRegistry()
        api = create_api(DatabaseKeyring(keyring), TenantDatabase(reader, 60), registry=registry)
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(Measured(api, registry), lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield Served(listener.getsockname()[1], admin, reader, keys)
        server.should_exit = True
        await serving


@asynccontextmanager
async def catalog_locked(admin: Pool) -> AsyncIterator[None]:
    """Let every query of names wait."""
    async with admin.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE")
        yield


async def ask(served: Served, who: str, path: str = NAMES) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}") as client:
        return await client.get(path, headers={"X-API-Key": served.keys[who]})


@pytest.mark.parametrize("body", [b"", b"a body that no route reads"])
async def test_the_query_of_a_client_that_has_gone_is_cancelled(
    served: Served, body: bytes
) -> None:
    """It ends while what it waits for still lasts; its connection is nobody's, and answers the next."""
    (tenant,) = await served.admin.fetch("SELECT tenant_id FROM tenants WHERE name = 'acme'")
    await served.admin.execute("INSERT INTO metrics VALUES ($1, 'secret', 1)", tenant["tenant_id"])
    async with catalog_locked(served.admin):
        leaving = await served.send("acme", body=body)
        await served.until_waiting(1)
        leaving.close()
        await served.until_waiting(0)
    assert not await served.reader.fetchval("SELECT current_setting('app.tenant_id', true)")
    assert await served.reader.fetchval("SELECT count(*) FROM metrics_tenant") == 0
    assert (await ask(served, "other")).json()["names"] == []
    assert (await ask(served, "acme")).json()["names"] == ["secret"]
    measured = (await ask(served, "acme", "/metrics")).text
    assert f'http_requests_total{{method="GET",route="{NAMES}",status="499"}} 1.0' in measured


async def test_who_waits_for_a_connection_and_goes_gets_none(served: Served) -> None:
    """Clients that gave up in the queue are not queried for when their turn would come."""
    async with catalog_locked(served.admin):
        first = await served.send("acme")
        await served.until_waiting(1)
        for _ in range(20):
            (await served.send("acme")).close()
        first.close()
        await served.until_waiting(0)
        patient = asyncio.create_task(ask(served, "other"))
        await served.until_waiting(1)
    assert (await patient).status_code == 200
