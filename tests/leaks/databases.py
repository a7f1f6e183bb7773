"""A migrated database in each storage mode, for tests that hold in both."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sinks.migrate import migrate
from sinks.scratch import scratch_database
from tests.contract.conftest import native_server

MODES = ("postgresql", "timescaledb-native")


@contextmanager
def migrated_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """DSN of a database of the test's own, in the mode that is the fixture's parameter."""
    if request.param == "postgresql":
        yield request.getfixturevalue("database")
        return
    with scratch_database(native_server()) as dsn:
        assert migrate(dsn).storage == "timescaledb"
        yield dsn
