"""API keys on a real database: who gets in, what is remembered, and what an outage changes."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from schemas.errors import Invalid, Temporary
from schemas.keys import Credential, key_hash
from schemas.named_queries import load
from sinks.database import connect_pool
from sinks.keys import CachePolicy, DatabaseKeyring, Pool, Tenants
from tests.outages import database_away


class Clock:
    """Seconds that pass when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        """Read the clock."""
        return self.now


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Pool]:
    async with await connect_pool(database, role=None, application="test") as pool:
        yield pool


@pytest.fixture
async def reader(database: str) -> AsyncIterator[Pool]:
    async with await connect_pool(database, role="headrace_reader", application="test") as pool:
        yield pool


@pytest.fixture
async def tenants(admin: Pool) -> Tenants:
    tenants = Tenants(admin)
    await tenants.create("acme")
    return tenants


async def test_every_named_query_is_valid_sql(admin: Pool) -> None:
    """Each query of keys.sql can be prepared on a migrated database."""
    async with admin.acquire() as connection:
        for query in load("sinks.sql", "keys.sql").values():
            await connection.prepare(query)


async def test_a_key_carries_its_tenant_and_scopes(tenants: Tenants, reader: Pool) -> None:
    """A made key is found with exactly the tenant and scopes that it was made with."""
    tenant, made = await tenants.create("acme")
    key = await tenants.create_key("acme", ["ingest", "read"])
    found = await DatabaseKeyring(reader).find(key)
    assert not made
    assert found == Credential(tenant.tenant_id, frozenset({"ingest", "read"}))
    assert key.startswith("hr_")
    assert len(key) == 46


@pytest.mark.parametrize("key", ["", "hr_", "hr_unknown", "'; DROP TABLE api_keys; --", "ü\0"])
async def test_a_key_that_was_never_made_is_nobody(
    tenants: Tenants, reader: Pool, key: str
) -> None:
    """Anything that is not a key's text is None, however strange."""
    await tenants.create_key("acme", ["read"])
    assert await DatabaseKeyring(reader).find(key) is None


async def test_expired_keys_are_refused(tenants: Tenants, reader: Pool) -> None:
    """A key stops at its expiry."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    key = await tenants.create_key("acme", ["read"], expires_at=past)
    assert await DatabaseKeyring(reader).find(key) is None


async def test_a_revoked_key_stops_when_its_answer_is_old(tenants: Tenants, reader: Pool) -> None:
    """Revocation takes effect within the ttl, and a new key is not refused for longer either."""
    clock = Clock()
    keyring = DatabaseKeyring(reader, CachePolicy(ttl=5), clock=clock)
    key = await tenants.create_key("acme", ["read"])
    assert await keyring.find(key) is not None
    identity = await tenants.revoke(key)
    assert await keyring.find(key) is not None
    clock.now += 5
    assert await keyring.find(key) is None
    assert await tenants.revoke(identity) == identity
    assert [k.revoked_at is not None for k in await tenants.keys("acme")] == [True]


async def test_answers_are_remembered(tenants: Tenants, reader: Pool, admin: Pool) -> None:
    """Within the ttl neither a good nor a bad key asks the database again."""
    clock = Clock()
    keyring = DatabaseKeyring(reader, clock=clock)
    key = await tenants.create_key("acme", ["read"])
    assert await keyring.find(key) is not None
    assert await keyring.find("hr_late") is None
    await admin.execute(
        "UPDATE api_keys SET key_hash = $2 WHERE key_hash = $1", key_hash(key), key_hash("hr_late")
    )
    assert await keyring.find(key) is not None
    assert await keyring.find("hr_late") is None
    clock.now += 5
    assert await keyring.find(key) is None
    assert await keyring.find("hr_late") is not None


async def test_a_flood_of_unknown_keys_leaves_the_good_ones(
    tenants: Tenants, reader: Pool, admin: Pool
) -> None:
    """Memory is bounded, and strangers can't push a known key out of it."""
    clock = Clock()
    keyring = DatabaseKeyring(reader, CachePolicy(good=2, bad=3), clock=clock)
    key = await tenants.create_key("acme", ["read"])
    assert await keyring.find(key) is not None
    for number in range(10):
        assert await keyring.find(f"hr_{number}") is None
    await admin.execute("DELETE FROM api_keys")
    assert await keyring.find(key) is not None


async def test_a_known_key_outlives_an_outage_for_the_grace(
    postgres: str, database: str, tenants: Tenants, reader: Pool
) -> None:
    """While the database is away a known key works, an unknown one is told to come back."""
    clock = Clock()
    keyring = DatabaseKeyring(reader, CachePolicy(ttl=5, grace=60, pause=1), clock=clock)
    key = await tenants.create_key("acme", ["read"])
    late = await tenants.create_key("acme", ["read"])
    assert await keyring.find(key) is not None
    with database_away(postgres, database):
        clock.now += 30
        assert await keyring.find(key) is not None
        with pytest.raises(Temporary):
            await keyring.find(late)
        clock.now += 31
        with pytest.raises(Temporary):
            await keyring.find(key)
    clock.now += 1
    assert await keyring.find(key) is not None
    assert await keyring.find(late) is not None


async def test_a_process_may_start_before_its_database() -> None:
    """A pool without a server can be made; keys are Temporary until it is there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else gets it
        dsn = f"postgresql://postgres@127.0.0.1:{taken.getsockname()[1]}/postgres"
        async with await connect_pool(dsn, role="headrace_reader", application="test") as pool:
            with pytest.raises(Temporary):
                await DatabaseKeyring(pool).find("hr_x")


async def test_a_database_that_was_not_migrated_is_temporary(postgres: str) -> None:
    """Before `migrate` the function is missing: that mends itself, so it is no error of the key."""
    async with await connect_pool(postgres, role=None, application="test") as pool:
        with pytest.raises(Temporary) as raised:
            await DatabaseKeyring(pool).find("hr_x")
    assert "find_key" in str(raised.value.__cause__)


async def test_requests_with_one_key_share_one_question(tenants: Tenants, database: str) -> None:
    """A hundred requests at once ask once, and one that hangs up spoils nothing."""
    key = await tenants.create_key("acme", ["read"])
    asked = 0

    def count(query: asyncpg.connection.LoggedQuery) -> None:
        nonlocal asked
        asked += "find_key" in query.query

    async def watch(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(count)

    async with asyncpg.create_pool(database, min_size=1, max_size=4, setup=watch) as pool:
        keyring = DatabaseKeyring(pool)
        requests = [asyncio.create_task(keyring.find(key)) for _ in range(100)]
        await asyncio.sleep(0)
        requests[0].cancel()
        found = await asyncio.gather(*requests[1:])
        assert None not in found
        assert asked == 1


async def test_administration_says_what_is_wrong(tenants: Tenants) -> None:
    """Bad names, unknown tenants and unknown keys are refused in words."""
    with pytest.raises(Invalid, match="can't name a tenant"):
        await tenants.create("Acme Inc.")
    with pytest.raises(Invalid, match="headrace tenants create nobody"):
        await tenants.create_key("nobody", ["read"])
    with pytest.raises(Invalid, match="no tenant"):
        await tenants.keys("nobody")
    with pytest.raises(Invalid, match="neither a key"):
        await tenants.revoke("%")
    with pytest.raises(Invalid, match="No key"):
        await tenants.revoke("hr_unknown")
    assert [tenant.name for tenant in await tenants.tenants()] == ["acme"]


async def test_the_reader_can_ask_for_a_key_but_not_list_them(
    tenants: Tenants, reader: Pool
) -> None:
    """The reader role sees no key, no hash and no tenant's name."""
    await tenants.create_key("acme", ["read"])
    for table in ("api_keys", "tenants"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(f"SELECT * FROM {table}")  # noqa: S608 - two literals


def test_keys_by_command(database: str) -> None:
    """A person makes a tenant and a key, sees its facts but not the key, and revokes it, twice."""
    environment = {
        **os.environ,
        "HEADRACE_DATABASE": database,
        "HEADRACE_KAFKA": "unused:1",
        "HEADRACE_TEMPORAL": "unused:1",
    }

    def headrace(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", "tenants", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    assert json.loads(headrace("create", "acme", "--json").stdout)["created"] is True
    assert json.loads(headrace("create", "acme", "--json").stdout)["created"] is False
    key = headrace("keys", "create", "acme", "--scope", "read").stdout.strip()
    listed = headrace("keys", "list", "acme", "--json").stdout
    assert key.startswith("hr_")
    assert key not in listed
    (facts,) = json.loads(listed)["keys"]
    assert (facts["id"], facts["scopes"]) == (key_hash(key).hex()[:12], ["read"])
    new = headrace("keys", "rotate", facts["id"], "--grace", "60").stdout.strip()
    old, young = json.loads(headrace("keys", "list", "acme", "--json").stdout)["keys"]
    assert (old["id"], young["id"]) == (facts["id"], key_hash(new).hex()[:12])
    assert (young["scopes"], young["expires_at"]) == (["read"], None)
    ends = datetime.fromisoformat(old["expires_at"]) - datetime.fromisoformat(young["created_at"])
    assert abs(ends - timedelta(minutes=60)) <= timedelta(seconds=1)
    for name in (facts["id"], key):
        assert headrace("keys", "revoke", name).stdout == f"revoked {facts['id']}\n"
    unknown = headrace("keys", "create", "nobody", "--scope", "read")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "headrace tenants create nobody" in unknown.stderr.replace("\n", " ")
