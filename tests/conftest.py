"""Real servers for tests: one set a session, one scratch database and topic prefix a test."""

import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from schemas.topics import Topics
from sinks.migrate import migrate
from sinks.scratch import scratch_database
from tests.ingestion import Bench, ingestion
from tests.servers import Servers, servers

TESTS = Path(__file__).parent
FOLDERS = ("chaos", "integration", "contract", "workflows", "unit")
"""From the files that take longest to those that take no time."""

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start.

    A shell without job control starts its background jobs with SIGINT ignored, and all that they start
    would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take longest: of two workers, none waits for the other's last file."""
    items.sort(key=lambda item: FOLDERS.index(item.path.relative_to(TESTS).parts[0]))


@pytest.fixture(scope="session")
def real_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Kafka, PostgreSQL and Temporal. A server that can't start fails the test: it is no skip."""
    with servers(tmp_path_factory.mktemp("stack")) as found:
        yield found


@pytest.fixture(scope="session")
def kafka(real_servers: Servers) -> str:
    """Bootstrap servers of a real broker."""
    return real_servers.kafka


@pytest.fixture(scope="session")
def postgres(real_servers: Servers) -> str:
    """DSN of a superuser on a real PostgreSQL."""
    return real_servers.database


@pytest.fixture(scope="session")
def temporal(real_servers: Servers) -> str:
    """Address of a real Temporal frontend (dev server)."""
    return real_servers.temporal


@pytest.fixture
def topics() -> Topics:
    """Topic names that no other test uses; creating them is the test's business."""
    return Topics(prefix=f"t{secrets.token_hex(4)}.")


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    """Name of a migrated database that nobody connects to: a copy of it takes half as long as migrating."""
    with scratch_database(postgres) as dsn:
        migrate(dsn)
        yield str(sa.make_url(dsn).database)


@pytest.fixture
def database(postgres: str, template: str) -> Iterator[str]:
    """DSN of a freshly migrated database of the test's own."""
    with scratch_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
async def bench(kafka: str, database: str, topics: Topics) -> AsyncIterator[Bench]:
    """Topics, a tenant and a migrated database of the test's own."""
    async with ingestion(kafka, database, topics) as found:
        yield found
