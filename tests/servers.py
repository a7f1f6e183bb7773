"""The real servers of a test session: from packages, from containers, or ones that already run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

from deploy.local.stack import Stack

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Servers:
    """Addresses: bootstrap servers, a superuser's DSN, a Temporal frontend."""

    kafka: str
    database: str
    temporal: str


@contextmanager
def servers(home: Path) -> Iterator[Servers]:
    """The servers that the environment asks for; what is started here is stopped here.

    `HEADRACE_TEST_KAFKA`, `_DATABASE` and `_TEMPORAL` name running ones (all three or none);
    `HEADRACE_TEST_SERVICES=docker` takes containers.
    """
    given = [os.environ.get(f"HEADRACE_TEST_{n}") for n in ("KAFKA", "DATABASE", "TEMPORAL")]
    if given[0] and given[1] and given[2]:
        yield Servers(given[0], given[1], given[2])
    elif os.environ.get("HEADRACE_TEST_SERVICES") == "docker":
        with _containers() as found:
            yield found
    else:
        with Stack(home, "auto", runtime=runtime(), services_only=True) as stack:
            at = stack.endpoints
            _spare_the_disk(at.database)
            yield Servers(at.kafka, at.database, at.temporal)


def _spare_the_disk(database: str) -> None:
    """Let writes wait for no disk: nobody cuts the power here, and half of copying a database was that."""
    with psycopg.connect(database, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


def runtime() -> Path:
    """Where downloaded servers are kept between sessions."""
    return Path(os.environ.get("HEADRACE_RUNTIME", ROOT / ".headrace" / "runtime"))


@contextmanager
def _containers() -> Iterator[Servers]:
    temporal = DockerContainer("temporalio/temporal:latest").with_exposed_ports(7233)
    temporal.with_command("server start-dev --ip 0.0.0.0 --headless")
    with (
        KafkaContainer("confluentinc/cp-kafka:7.9.0").with_kraft() as kafka,
        PostgresContainer("postgres:18", driver=None) as postgres,
        temporal,
    ):
        wait_for_logs(temporal, "Server:")
        address = f"{temporal.get_container_host_ip()}:{temporal.get_exposed_port(7233)}"
        yield Servers(kafka.get_bootstrap_server(), postgres.get_connection_url(), address)
