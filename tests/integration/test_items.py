"""The items service on a real PostgreSQL: what its clients may rely on."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from prometheus_client import CollectorRegistry

from deploy.demo.items import serving_items
from deploy.demo.scripts import Load, Script
from deploy.http_metrics import Measured
from producers.k6.program import find
from sinks.scratch import scratch_database
from tests.exposition import check_measured


@asynccontextmanager
async def client_of_items(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service on this database, measured as the process measures it."""
    registry = CollectorRegistry()
    async with serving_items(dsn, registry) as app:
        transport = httpx.ASGITransport(Measured(app, registry), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://items") as client:
            yield client


@pytest.fixture
async def items(postgres: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service on an empty database of its own."""
    with scratch_database(postgres) as dsn:
        async with client_of_items(dsn) as client:
            yield client


async def test_an_items_whole_life(items: httpx.AsyncClient) -> None:
    """Made, read, replaced, listed, deleted, gone: with the status codes that REST users expect."""
    created = await items.post("/items", json={"title": "water", "description": "cold"})
    assert created.status_code == 201
    item = created.json()
    assert UUID(item["id"])
    assert (item["title"], item["description"], item["status"]) == ("water", "cold", "pending")
    assert item["created_at"] == item["updated_at"]
    url = f"/items/{item['id']}"
    assert (await items.get(url)).json() == item

    replaced = await items.put(url, json={"title": "turbine", "status": "in_progress"})
    assert replaced.status_code == 200
    assert replaced.json() == {
        **item,
        "title": "turbine",
        "description": None,
        "status": "in_progress",
        "updated_at": replaced.json()["updated_at"],
    }
    assert replaced.json()["updated_at"] > item["updated_at"]
    assert (await items.get("/items")).json() == [replaced.json()]

    deleted = await items.delete(url)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for gone in (
        await items.get(url),
        await items.delete(url),
        await items.put(url, json={"title": "x"}),
    ):
        assert gone.status_code == 404
    assert (await items.get("/items")).json() == []


async def test_pages_are_newest_first_and_miss_nothing(items: httpx.AsyncClient) -> None:
    """Pages side by side are the whole list; beyond the end there is an empty one."""
    made = [(await items.post("/items", json={"title": str(i)})).json()["id"] for i in range(25)]

    async def page(**query: int) -> list[str]:
        return [one["id"] for one in (await items.get("/items", params=query)).json()]

    assert await page() == made[:4:-1]
    pages = [await page(limit=10, offset=offset) for offset in (0, 10, 20, 30)]
    assert [len(one) for one in pages] == [10, 10, 5, 0]
    assert [item for one in pages for item in one] == made[::-1]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"title": ""}',
        b'{"title": 1}',
        b'{"title": "t", "status": "lost"}',
        b'{"title": "t", "owner": "me"}',
        b'{"title": "a\\u0000b"}',
        b'{"title": "\\ud800"}',
        b'{"title": "%s"}' % (b"x" * 201),
    ],
)
async def test_what_is_no_item_is_refused_with_422(items: httpx.AsyncClient, body: bytes) -> None:
    """Broken JSON, wrong types, unknown fields and text that PostgreSQL can't hold, without a 500."""
    headers = {"content-type": "application/json"}
    for answer in (
        await items.post("/items", content=body, headers=headers),
        await items.put(f"/items/{uuid4()}", content=body, headers=headers),
    ):
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "url",
    ["/items/no-uuid", "/items?limit=0", "/items?limit=101", "/items?offset=-1", "/items?limit=x"],
)
async def test_a_wrong_question_is_refused_with_422(items: httpx.AsyncClient, url: str) -> None:
    """Ids that are no UUID and pages that can't be are the client's mistake."""
    assert (await items.get(url)).status_code == 422


async def test_metrics_count_requests_by_route_and_not_by_item(items: httpx.AsyncClient) -> None:
    """An id in a path makes no series of its own, nor does a path that does not exist."""
    for path in (f"/items/{uuid4()}", f"/items/{uuid4()}", "/wp-login.php"):
        await items.get(path)
    text = (await items.get("/metrics")).text
    assert 'http_requests_total{method="GET",route="/items/{item_id}",status="404"} 2.0' in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'http_request_duration_seconds_count{method="GET",route="/items/{item_id}"} 2.0' in text
    assert "http_requests_in_progress 1.0" in text


async def test_probes_tell_the_process_from_its_database(items: httpx.AsyncClient) -> None:
    """Alive says who it is; ready says that the table can be read."""
    assert (await items.get("/healthz")).json() == {"service": "items"}
    ready = await items.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": True})


async def test_services_that_start_together_share_one_schema(postgres: str) -> None:
    """The schema is made once, whoever comes first, and found by all others and ever after."""

    async def make_one(dsn: str) -> int:
        async with client_of_items(dsn) as client:
            return (await client.post("/items", json={"title": "t"})).status_code

    with scratch_database(postgres) as dsn:
        assert await asyncio.gather(*(make_one(dsn) for _ in range(5))) == [201] * 5
        assert await make_one(dsn) == 201


async def test_outage_of_the_database_shows_in_readyz(postgres: str) -> None:
    """A database that went away makes the service unready, not dead; failed requests are counted."""
    with scratch_database(postgres) as dsn:
        async with client_of_items(dsn) as client:
            admin = await asyncpg.connect(dsn)
            await admin.execute("DROP SCHEMA items CASCADE")
            await admin.close()
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"database": False})
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/items")).status_code == 500
            text = (await client.get("/metrics")).text
    assert 'http_exceptions_total{exception_type="UndefinedTableError"} 1.0' in text
    assert 'http_requests_total{method="GET",route="/items",status="500"} 1.0' in text


def start_items(dsn: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "items", "--port", "0"],
        env={**os.environ, "HEADRACE_DATABASE": dsn},
        stderr=subprocess.PIPE,
        text=True,
    )


METRICS = {
    "basic": {"http_req_duration": ["p(95)<500"], "http_req_failed": ["rate<0.01"]},
    "crud": {
        "http_req_duration": ["p(95)<700"],
        "http_req_failed": ["rate<0.02"],
        "checks": ["rate>0.98"],
    },
    "stress_ramp": {"http_req_duration": ["p(95)<800"], "http_req_failed": ["rate<0.01"]},
}


async def test_each_k6_script_runs_against_the_service(postgres: str, tmp_path: Path) -> None:
    """Shortened by the environment, with a token; the summary has its thresholds, the points its endpoints."""
    with scratch_database(postgres) as dsn:
        process = start_items(dsn)
        try:
            assert process.stderr is not None
            line = await asyncio.to_thread(process.stderr.readline)
            found = re.search(r"listens on (http://\S+)", line)
            assert found, line
            for name, thresholds in METRICS.items():
                summary, points = tmp_path / f"{name}.json", tmp_path / f"{name}.points"
                load = Load(cast("Script", name), seconds=3, vus=3)
                environment = load.environment(os.environ | {"TOKEN": "s3cret"}, found[1] + "/")
                k6 = await asyncio.create_subprocess_exec(
                    *(find(None, environment), "run", "--address", "", "--no-usage-report"),
                    *("--http-debug", "--summary-export", str(summary), "--out", f"json={points}"),
                    str(load.path),
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
                output, _ = await k6.communicate()
                # 99: on a busy machine a percentile may be missed, and that is no fault of the script.
                assert k6.returncode in {0, 99}, output[-2000:]
                assert b"Authorization: Bearer s3cret" in output
                metrics = json.loads(summary.read_bytes())["metrics"]
                assert {
                    metric: list(metrics[metric]["thresholds"]) for metric in thresholds
                } == thresholds
                assert metrics["http_reqs"]["count"] > 0
                assert metrics["checks"]["fails"] == 0
                _check_points(name, points)
        finally:
            process.terminate()
            process.communicate()


def _check_points(name: str, points: Path) -> None:
    """Requests are grouped by endpoint; CRUD has both its scenarios and its own trend."""
    found = [json.loads(line) for line in points.read_bytes().splitlines()]
    tags = [
        one["data"]["tags"]
        for one in found
        if (one["metric"], one["type"]) == ("http_reqs", "Point")
    ]
    crud = name == "crud"
    assert {one["name"] for one in tags} == {"/items", *(["/items/{id}"] if crud else [])}
    assert {one["scenario"] for one in tags} == ({"smoke", "crud_load"} if crud else {"default"})
    assert any(one["metric"] == "custom_create_duration" for one in found) == crud


async def test_the_process_measures_its_requests_and_stops_when_told(postgres: str) -> None:
    """`headrace items` counts at /metrics what it answered, and exits 0 on SIGTERM."""
    with scratch_database(postgres) as dsn:
        process = start_items(dsn)
        try:
            assert process.stderr is not None
            line = await asyncio.to_thread(process.stderr.readline)
            found = re.search(r"listens on (http://\S+)", line)
            assert found, line
            async with httpx.AsyncClient(base_url=found[1]) as client:
                assert (await client.get(f"/items/{uuid4()}")).status_code == 404
                check_measured((await client.get("/metrics")).text, "GET", "/items/{item_id}", 404)
            process.send_signal(signal.SIGTERM)
            _, log = await asyncio.to_thread(process.communicate, timeout=10)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, log
    assert "Traceback" not in log
