"""The read API gives the same answers over PostgreSQL and TimescaleDB, compressed or not."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from sinks.migrate import migrate
from sinks.scratch import scratch_database
from tests.contract.conftest import native_server
from tests.sites import NOW, Site, serving, store_run

UNLIKE = {"next_cursor", "first_seen"}
"""Fields that two databases can't have in common."""
RUN = UUID("0197a5c0-7d2e-7cc3-98c5-6a1b2f3d4e5f")
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/metrics", {"name": "cpu"}),
    ("/api/v1/metrics", {"name": "cpu", "start": "2026-05-20T00:00:00Z", "limit": 40}),
    ("/api/v1/metrics", {"name": "cpu", "start": "2026-05-20T00:00:00Z", "label": "host:2"}),
    ("/api/v1/metrics", {"name": "cpu", "start": "2026-05-20T00:00:00Z", "match": "host=~[12]"}),
    ("/api/v1/metrics", {"name": "none"}),
    *(
        (
            "/api/v1/data/points",
            {"name": "cpu", "start": "2026-05-20T00:00:00Z", "agg": agg, "limit": 90},
        )
        for agg in ("raw", "1m", "5m", "1h")
    ),
    ("/api/v1/data/points", {"name": "cpu", "start": "2026-04-20T00:00:00Z"}),
    ("/api/v1/metrics/aggregate/cpu", {"by": "host", "start": "2026-05-20T00:00:00Z"}),
    ("/api/v1/metrics/names", {}),
    ("/api/v1/metrics/names", {"prefix": "m"}),
    ("/api/v1/metrics/latest/cpu", {}),
    ("/api/v1/metrics/latest/old", {}),
    *(
        ("/api/v1/metrics/series/cpu", {"agg": agg, "bucket": bucket, "start": start})
        for agg in ("avg", "min", "max", "sum", "count", "p50", "p95", "p99", "rate")
        for bucket, start in (("1m", NOW - timedelta(hours=3)), ("1d", NOW - timedelta(days=9)))
    ),
    ("/api/v1/runs", {}),
    (f"/api/v1/runs/{RUN}", {}),
    (f"/api/v1/runs/{RUN}/summary", {}),
]


async def fill(site: Site) -> None:
    """The same samples of two tenants, nine days of them, and a run."""
    chance = random.Random(7)  # noqa: S311 - data, not a secret
    for who in ("acme", "other"):
        for host in range(4):
            points = [
                (NOW - timedelta(seconds=chance.randrange(9 * 86_400)), chance.uniform(0, 100))
                for _ in range(200)
            ]
            await site.store(who, "cpu", {"host": str(host)}, *points, (NOW, "text"), (NOW, True))
        await site.store(who, "memory", {}, (NOW, 1.0))
        await site.store(who, "old", {}, (NOW - timedelta(days=8), 2.0))
    await store_run(site, "acme", RUN)


async def answers(site: Site) -> list[tuple[int, Any]]:
    """What the API says to each question, and on every page that follows."""
    found = []
    for path, parameters in QUESTIONS:
        cursor: dict[str, str] = {}
        while True:
            response = await site.get(path, **parameters, **cursor)
            answer = response.json()
            found.append((response.status_code, answer))
            if not answer.get("next_cursor"):
                break
            cursor = {"cursor": answer["next_cursor"]}
    return found


@pytest.fixture
async def plain(postgres: str) -> AsyncIterator[Site]:
    with scratch_database(postgres) as dsn:
        migrate(dsn)
        async with serving(dsn) as site:
            await fill(site)
            yield site


@pytest.fixture
async def timescale() -> AsyncIterator[Site]:
    with scratch_database(native_server()) as dsn:
        assert migrate(dsn).storage == "timescaledb"
        async with serving(dsn) as site:
            await fill(site)
            yield site


async def test_both_storage_modes_answer_the_same(plain: Site, timescale: Site) -> None:
    """To the last digit of every sample; sums may differ by the order of addition."""
    expected = await answers(plain)
    assert {status for status, _ in expected} == {200}
    assert len(expected) > len(QUESTIONS)
    _compare(expected, await answers(timescale))
    compressed = await timescale.admin.fetch(
        "SELECT compress_chunk(c) FROM show_chunks('samples') c"
    )
    assert len(compressed) >= 9
    _compare(expected, await answers(timescale))


async def test_the_reader_has_no_right_on_chunks(timescale: Site) -> None:
    """Neither chunks nor their compressed twins can be read past the views."""
    await timescale.admin.fetch("SELECT compress_chunk(c) FROM show_chunks('samples') c")
    chunks = await timescale.admin.fetch(
        "SELECT format('%I.%I', nspname, relname) AS name FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = '_timescaledb_internal' AND relkind = 'r' AND relname LIKE '\\_hyper\\_%'"
    )
    assert len(chunks) >= 18
    for (name,) in chunks:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await timescale.reader.fetch(f"SELECT 1 FROM {name}")  # noqa: S608 - from the catalogue


def _compare(expected: list[tuple[int, Any]], found: list[tuple[int, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert _rounded(other) == _rounded(one)


def _rounded(node: Any) -> Any:
    if isinstance(node, float):
        return float(f"{node:.12g}")
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items() if key not in UNLIKE}
    return [_rounded(one) for one in node] if isinstance(node, list | tuple) else node
