"""Fixtures of the chaos tests."""

from collections.abc import AsyncIterator

import pytest

from schemas.topics import Topics
from tests.ingestion import Bench, ingestion


@pytest.fixture
async def bench(kafka: str, database: str, topics: Topics) -> AsyncIterator[Bench]:
    """Topics, a tenant and a migrated database of the test's own."""
    async with ingestion(kafka, database, topics) as found:
        yield found
