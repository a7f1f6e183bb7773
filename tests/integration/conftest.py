"""Fixtures of the integration tests."""

from collections.abc import AsyncIterator

import pytest

from tests.sites import Site, serving


@pytest.fixture
async def site(database: str) -> AsyncIterator[Site]:
    """A migrated database with two tenants, and the read API over it."""
    async with serving(database) as site:
        yield site
