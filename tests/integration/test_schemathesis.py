"""Everything that the OpenAPI documents allow, and much that they forbid, sent to real processes.

No answer is a 5xx; each has a status, a content type, headers and a body that the document describes.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producers.topics import create_topics
from schemas.topics import Topics
from sinks.keys import Tenants
from tests.leaks.planted import SHARED, VICTIM, belongings, plant
from tests.leaks.storage import settle
from tests.processes import headrace
from tests.sites import serving

_HOW = Path(__file__).with_name("schemathesis.toml")


async def examine(port: int, key: str, folder: Path) -> None:
    """Fail with schemathesis's report, which has a curl line for each finding."""
    found = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_HOW), "run"),
            *("--header", f"X-API-Key: {key}"),
            f"http://127.0.0.1:{port}/openapi.json",
        ],
        cwd=folder,  # it keeps what it found there
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture
async def key(database: str) -> AsyncIterator[str]:
    """A key that may do everything, of a tenant that has something of everything."""
    async with serving(database) as site:
        own = belongings(site, VICTIM)
        await plant(site, own)
        now = datetime.now(UTC)
        points = [(now - timedelta(minutes=minute), float(minute)) for minute in range(1, 50)]
        await site.store(VICTIM, SHARED, {"host": "server-1", "region": "eu"}, *points)
        await settle(database)
        yield await Tenants(site.admin).create_key(VICTIM, ["ingest", "read", "admin"])


async def test_the_query_api_is_what_its_document_says(
    database: str, temporal: str, key: str, tmp_path: Path
) -> None:
    """Every operation of the query API, definitions, keys and deletions included."""
    env = {
        "HEADRACE_DATABASE": database,
        "HEADRACE_KAFKA": "unused:1",
        "HEADRACE_TEMPORAL": temporal,
    }
    with headrace("api", env=env, log=tmp_path / "api.log") as api:
        await api.ready()
        await examine(api.port, key, tmp_path)


async def test_the_gateway_is_what_its_document_says(
    kafka: str, database: str, key: str, topics: Topics, tmp_path: Path
) -> None:
    """Every operation of the gateway, with a broker behind it."""
    await create_topics(kafka, topics.specs(1), 1)
    env = {
        "HEADRACE_DATABASE": database,
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_TOPIC_PREFIX": topics.prefix,
    }
    with headrace("gateway", env=env, log=tmp_path / "gateway.log") as gateway:
        await gateway.ready()
        await examine(gateway.port, key, tmp_path)
