"""Shares connections out: a tenant that asks a lot waits for itself, not others for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary


class Shares:
    """At most so many transactions of one tenant at a time; the rest of them wait in order."""

    def __init__(self, most: int) -> None:
        self._most = most
        # A tenant is forgotten when none of its requests is left.
        self._tenants: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def one(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Hold one of the tenant's places."""
        places = self._tenants.setdefault(tenant_id, asyncio.Semaphore(self._most))
        async with places:
            yield
