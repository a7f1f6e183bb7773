"""Commands told wrong things: one clear line, an exit code, and never a traceback."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.cli.context import Endpoints, tenant
from producers.topics import create_topics
from schemas.errors import Permanent, Temporary
from schemas.settings import Settings
from schemas.topics import Topics
from sinks.scratch import scratch_database

NOWHERE = "postgresql://postgres@127.0.0.1:1/none"


def headrace(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**os.environ, "COLUMNS": "80", "HEADRACE_TEMPORAL": "unused:1", **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def launch(command: str, kafka: str, dsn: str, topics: Topics) -> "subprocess.Popen[str]":
    servers = {
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_DATABASE": dsn,
        "HEADRACE_TOPIC_PREFIX": topics.prefix,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", command, "--port", "0"],
        env={**os.environ, **servers},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("away", ["kafka", "database"])
def test_a_benchmark_without_its_servers_says_which_is_away(
    away: str, request: pytest.FixtureRequest
) -> None:
    """What failed first is told, not what cleaning up met then."""
    servers = {
        "HEADRACE_KAFKA": "127.0.0.1:1" if away == "kafka" else "unused:1",
        "HEADRACE_DATABASE": NOWHERE if away == "database" else request.getfixturevalue("postgres"),
    }
    done = headrace("bench", "ingest", **servers)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ("Kafka at 127.0.0.1:1" if away == "kafka" else "database can't be used") in done.stderr


@pytest.mark.parametrize("command", [("demo",), ("bench", "ingest")])
def test_a_home_that_is_not_ours_is_named(command: tuple[str, ...], tmp_path: Path) -> None:
    """The folder and the variable that names another."""
    (tmp_path / "file").touch()
    embedded = {"HEADRACE_KAFKA": "embedded", "HEADRACE_DATABASE": "embedded"}
    done = headrace(*command, HEADRACE_HOME=str(tmp_path / "file" / "home"), **embedded)
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert "HEADRACE_HOME" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["99999", "-3"])
def test_a_worker_refuses_what_is_no_port(port: str) -> None:
    """Wrong usage: exit code 2."""
    assert headrace("worker", "--port", port).returncode == 2


async def test_a_key_is_asked_of_a_database_that_is_away_or_empty(postgres: str) -> None:
    """The text says what a person must do."""
    with pytest.raises(Temporary, match="can't be used"):
        await tenant(Settings(), Endpoints("unused", NOWHERE, "unused"), "hr_x")
    with scratch_database(postgres) as empty, pytest.raises(Permanent, match="headrace migrate"):
        await tenant(Settings(), Endpoints("unused", empty, "unused"), "hr_x")


@pytest.mark.parametrize("command", ["gateway", "api"])
async def test_a_process_on_a_database_that_is_not_migrated_is_not_ready(
    command: str, kafka: str, postgres: str, topics: Topics
) -> None:
    """It says so once in its log, and at /readyz for as long as it lasts."""
    with scratch_database(postgres) as empty:
        await create_topics(kafka, topics.specs(1), 1)
        process = launch(command, kafka, empty, topics)
        try:
            assert process.stderr is not None
            url = warned = None
            while url is None or warned is None:
                line = await asyncio.to_thread(process.stderr.readline)
                assert line, "the process ended"
                url = url or re.search(r"listens on (http://\S+)", line)
                warned = warned or re.search("WARNING.*headrace migrate", line)
            detail = ""
            async with httpx.AsyncClient(base_url=url[1]) as client:
                while "not migrated" not in detail:  # Kafka may be the first news
                    answer = await client.get("/readyz")
                    assert answer.status_code == 503
                    detail = answer.json()["detail"]
            assert "Run: headrace migrate" in detail
        finally:
            process.kill()
            process.communicate()
