"""Every kind of database that headrace must run on, empty or migrated, for one suite over all of them.

The native TimescaleDB runs where `HEADRACE_TEST_TIMESCALE_DSN` names a superuser on one: no package
registry has that build. Nothing else is ever skipped.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from schemas.settings import Settings
from sinks.migrate import StorageMode, migrate
from sinks.scratch import scratch_database
from tests.timescale_wasm.launch import install, make_image, timescale_wasm

Kind = Literal["postgresql", "timescaledb-wasm", "timescaledb-native"]
KINDS: tuple[Kind, ...] = ("postgresql", "timescaledb-wasm", "timescaledb-native")


@dataclass(frozen=True)
class Storage:
    """A database of the test's own and the kind of server it is on."""

    kind: Kind
    dsn: str

    @property
    def mode(self) -> StorageMode:
        """The storage mode that migrate must find on this kind of server."""
        return "postgresql" if self.kind == "postgresql" else "timescaledb"


def native_server() -> str:
    """DSN of a superuser on a native TimescaleDB, or the one skip that is permitted."""
    dsn = os.environ.get("HEADRACE_TEST_TIMESCALE_DSN")
    if not dsn:
        pytest.skip("HEADRACE_TEST_TIMESCALE_DSN names no native TimescaleDB")
    return dsn


@pytest.fixture(scope="session")
def wasm_packages() -> Path:
    """The installed packages of the WASM build."""
    settings = Settings()
    return install(settings.runtime or settings.home / "runtime")


@pytest.fixture(scope="session")
def wasm_image(wasm_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database for the WASM build to start with."""
    return make_image(wasm_packages, tmp_path_factory.mktemp("wasm") / "empty.tar", lambda _: None)


@pytest.fixture(scope="session")
def wasm_template(wasm_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated one."""
    return make_image(wasm_packages, tmp_path_factory.mktemp("wasm") / "migrated.tar", migrate)


@contextmanager
def _open(request: pytest.FixtureRequest, image: str, template: str | None) -> Iterator[Storage]:
    """A database on the kind of server that is asked for, from what these fixtures have."""
    kind, given = request.param, request.getfixturevalue
    if kind == "timescaledb-wasm":
        server = timescale_wasm(given("wasm_packages"), given(image))
    elif kind == "timescaledb-native":
        # No copy: TimescaleDB's scheduler is connected to each database, and none is copied then.
        server = scratch_database(native_server())
    elif template:
        server = scratch_database(given("postgres"), given(template))
    else:
        server = scratch_database(given("postgres"))
    with server as dsn:
        yield Storage(kind, dsn)


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """A database without any schema of ours, on each kind of server in turn."""
    with _open(request, "wasm_image", None) as storage:
        yield storage


@pytest.fixture(params=KINDS)
def migrated(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """A database at the newest version, on each kind of server in turn."""
    with _open(request, "wasm_template", "template") as storage:
        if storage.kind == "timescaledb-native":
            migrate(storage.dsn)
        yield storage


@pytest.fixture
def native() -> Iterator[Storage]:
    """A database at the newest version on a native TimescaleDB."""
    with scratch_database(native_server()) as dsn:
        migrate(dsn)
        yield Storage("timescaledb-native", dsn)
