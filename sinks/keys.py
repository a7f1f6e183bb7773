"""API keys in the database: finds them through a bounded cache, and makes and revokes them.

A key that was good keeps working through an outage of the database for `CachePolicy.grace`, so
that producers need not stop because the store of keys did.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import asyncpg

from schemas.errors import Invalid, Temporary
from schemas.keys import ID_DIGITS, PREFIX, Credential, Scope, key_hash, new_key
from schemas.named_queries import load
from sinks.outages import OUTAGE

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_LOG = logging.getLogger(__name__)
_SQL = load("sinks.sql", "keys.sql")
_ID = re.compile(r"[0-9a-f]{8,64}")
_T = TypeVar("_T")

GRACE = timedelta(hours=24)
"""How long a rotated key still works, unless the caller says."""


@dataclass(frozen=True)
class CachePolicy:
    """How long an answer about a key is believed, in seconds, and how many are kept."""

    ttl: float = 5.0
    """A revoked key stops working, and a new one starts, after this long at most."""
    grace: float = 900.0
    """How long a good key outlives its last confirmation while the database is away."""
    pause: float = 1.0
    """After a failed look-up the database is left alone for so long."""
    timeout: float = 2.0
    """Longest look-up; a request waits no longer for a database that does not answer."""
    good: int = 10_000
    bad: int = 10_000
    """Unknown keys are kept apart, so that a flood of them can't push out the good ones."""


class DatabaseKeyring:
    """A `schemas.keys.Keyring` over `find_key` of the database, in any role that may call it.

    The pool may be one that has no connection yet: the database may be away when
    the process starts. Holds hashes only, never a key.
    """

    def __init__(
        self,
        pool: Pool,
        policy: CachePolicy = CachePolicy(),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._policy = policy
        self._clock = clock
        self._good: OrderedDict[bytes, tuple[Credential, float]] = OrderedDict()
        self._bad: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Credential | None]] = {}
        self._quiet_until = float("-inf")

    async def find(self, key: str) -> Credential | None:
        """Return the credential, or None for a key that is unknown, expired or revoked.

        Raises:
            Temporary: the database can't be reached and no confirmation of the key is recent
                enough (`CachePolicy.grace`).
        """
        hashed = key_hash(key)
        now = self._clock()
        known, confirmed = self._good.get(hashed, (None, float("-inf")))
        if now - max(confirmed, self._bad.get(hashed, float("-inf"))) < self._policy.ttl:
            return known
        try:
            return await self._ask_once(hashed, now)
        except Temporary:
            if known is not None and now - confirmed < self._policy.grace:
                return known
            raise

    async def _ask_once(self, hashed: bytes, now: float) -> Credential | None:
        """Ask for a key; requests that want the same one share the answer."""
        if now < self._quiet_until:
            raise self._away()
        task = self._asking.get(hashed)
        if task is None:
            task = asyncio.create_task(self._ask(hashed))
            self._asking[hashed] = task
            task.add_done_callback(lambda done: self._answered(hashed, done))
        # Shielded: a client that hangs up must not take the answer from the others.
        return await asyncio.shield(task)

    def _away(self) -> Temporary:
        # Whoever sent the key reads this: it names no server of ours.
        return Temporary("API keys can't be looked up now.", retry_after=self._policy.pause)

    def _answered(self, hashed: bytes, task: asyncio.Task[Credential | None]) -> None:
        self._asking.pop(hashed, None)
        if not task.cancelled():
            task.exception()  # taken notice of, even when every request that waited has gone

    async def _ask(self, hashed: bytes) -> Credential | None:
        try:
            async with asyncio.timeout(self._policy.timeout):
                row = await self._pool.fetchrow(_SQL["find_key"], hashed)
        except OUTAGE as error:
            # Any error is an outage here: a hash can't be wrong, so the database is away, not
            # migrated, or refuses us, and each of these can be mended without a restart.
            self._quiet_until = self._clock() + self._policy.pause
            _LOG.warning("API keys can't be looked up: %r", error)
            raise self._away() from error
        now = self._clock()
        if row is None:
            self._good.pop(hashed, None)
            _keep(self._bad, hashed, now, self._policy.bad)
            return None
        found = Credential(row["tenant_id"], frozenset(row["scopes"]))
        self._bad.pop(hashed, None)
        _keep(self._good, hashed, (found, now), self._policy.good)
        return found


def _keep(cache: OrderedDict[bytes, _T], hashed: bytes, value: _T, size: int) -> None:
    cache[hashed] = value
    cache.move_to_end(hashed)
    if len(cache) > size:
        cache.popitem(last=False)


@dataclass(frozen=True)
class Tenant:
    """A tenant; its name is what people call it, its id is what rows carry."""

    tenant_id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True)
class KeyFacts:
    """What is known of a key after it was made: all but the key."""

    id: str
    """The first digits of its SHA-256: enough to revoke it, useless to sign in."""
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Tenants:
    """Makes tenants and their keys. Wants a pool with the login's own rights (role None)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, name: str) -> tuple[Tenant, bool]:
        """Make a tenant, or find the one of that name; the flag tells whether it was made now.

        Raises:
            Invalid: the name is not 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit.
        """
        try:
            row = await self._pool.fetchrow(_SQL["create_tenant"], name)
        except asyncpg.CheckViolationError as error:
            raise Invalid(
                "bad_name",
                f"{name!r} can't name a tenant: use 1 to 63 of a-z, 0-9, - and _, "
                "beginning with a letter or a digit.",
            ) from error
        if row is not None:
            return Tenant(**row), True
        return await self._get(name), False

    async def tenants(self) -> list[Tenant]:
        """All tenants by name."""
        return [Tenant(**row) for row in await self._pool.fetch(_SQL["list_tenants"])]

    async def create_key(
        self, tenant: str, scopes: Iterable[Scope], expires_at: datetime | None = None
    ) -> str:
        """Make a key and return it. This is the only time it is seen: only its hash is kept.

        Raises:
            Invalid: there is no such tenant.
        """
        owner = await self._get(tenant)
        key = new_key()
        await self._pool.execute(
            _SQL["create_key"], key_hash(key), owner.tenant_id, sorted(set(scopes)), expires_at
        )
        return key

    async def keys(self, tenant: str) -> list[KeyFacts]:
        """Facts of a tenant's keys, oldest first. Raises Invalid when there is no such tenant."""
        await self._get(tenant)
        rows = await self._pool.fetch(_SQL["list_keys"], tenant)
        return [
            KeyFacts(
                row["hash"][:ID_DIGITS],
                tuple(row["scopes"]),
                row["created_at"],
                row["expires_at"],
                row["revoked_at"],
            )
            for row in rows
        ]

    async def revoke(self, key_or_id: str) -> str:
        """Revoke a key, given itself or its id, and return its id. Twice is as good as once.

        It stops working when the caches of running processes expire (`CachePolicy.ttl`).

        Raises:
            Invalid: no key is meant by this, or more than one.
        """
        digits = _digits(key_or_id)
        return _only(
            await self._pool.fetch(_SQL["revoke_key"], digits),
            f"key has the id {digits[:ID_DIGITS]}",
        )

    async def rotate(self, key_or_id: str, grace: timedelta = GRACE) -> str:
        """Make and return a key with the scopes of this one, and as long a life.

        The old key, given itself or its id, still works for `grace`: time to hand the new one out.

        Raises:
            Invalid: no good key is meant by this, or more than one.
        """
        key = new_key()
        digits = _digits(key_or_id)
        rows = await self._pool.fetch(_SQL["rotate_key"], digits, key_hash(key), grace)
        _only(rows, f"good key has the id {digits[:ID_DIGITS]}")
        return key

    async def _get(self, name: str) -> Tenant:
        row = await self._pool.fetchrow(_SQL["get_tenant"], name)
        if row is None:
            raise Invalid(
                "unknown_tenant",
                f"There is no tenant {name!r}. Make it: headrace tenants create {name}",
            )
        return Tenant(**row)


def _digits(key_or_id: str) -> str:
    digits = key_hash(key_or_id).hex() if key_or_id.startswith(PREFIX) else key_or_id.lower()
    if not _ID.fullmatch(digits):
        raise Invalid("bad_key", f"{key_or_id!r} is neither a key ({PREFIX}…) nor the id of one.")
    return digits


def _only(rows: list[Any], what: str) -> str:
    """The id of the one key that was found."""
    if len(rows) != 1:
        raise Invalid("unknown_key", f"{'More than one' if rows else 'No'} {what}.")
    return str(rows[0]["hash"][:ID_DIGITS])
