"""The gateway's answers, over a publisher in memory."""

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry

from deploy.http_metrics import Measured
from producers.gateway import Budget, Limits, create_gateway
from producers.gateway.publishing import Record
from schemas.errors import Permanent, Temporary
from schemas.keys import Credential
from schemas.window import Window

TENANT = UUID(int=7)
NOW = 1_800_000_000.0
ONE = {"name": "cpu", "value": 1.5}
INGEST = "/api/v1/metrics/ingest"
BATCH = "/api/v1/metrics/ingest/batch"
KEY = {"X-API-Key": "good"}


class DictKeyring:
    """Keys in memory."""

    async def find(self, key: str) -> Credential | None:
        """See `schemas.keys.Keyring`."""
        if key == "away":
            raise Temporary("The database of API keys is away.", retry_after=3)
        scopes = {"good": {"ingest"}, "reader": {"read"}}.get(key)
        return None if scopes is None else Credential(TENANT, frozenset(scopes))


@dataclass
class MemoryPublisher:
    """Keeps records, or raises what the test gives it."""

    records: list[Record] = field(default_factory=list)
    problem: str = ""
    error: Exception | None = None

    async def publish(self, records: Sequence[Record]) -> None:
        """See `producers.gateway.publishing.Publisher`."""
        if self.error is not None:
            raise self.error
        self.records += records


SMALL = Limits(samples=3, body=500)


@asynccontextmanager
async def gateway(
    publisher: MemoryPublisher, limits: Limits = SMALL, **parts: Any
) -> AsyncIterator[httpx.AsyncClient]:
    registry = CollectorRegistry()
    app = create_gateway(
        DictKeyring(),
        publisher,
        window=Window(timedelta(days=30), timedelta(minutes=10)),
        limits=limits,
        registry=registry,
        clock=lambda: NOW,
        **parts,
    )
    transport = httpx.ASGITransport(Measured(app, registry), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://g") as client:
        yield client


@pytest.fixture
def publisher() -> MemoryPublisher:
    """A publisher that takes everything."""
    return MemoryPublisher()


@pytest.fixture
async def client(publisher: MemoryPublisher) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway with small limits."""
    async with gateway(publisher) as one:
        yield one


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a response, which must be one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["detail"]
    return document


async def test_an_accepted_sample_is_published_under_the_tenant_of_its_key(
    client: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    """The envelope is complete: tenant, source, and the time of arrival where none was given."""
    response = await client.post(INGEST, json={**ONE, "source": "s"}, headers=KEY)

    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    [record] = publisher.records
    assert record.key == f"{TENANT}/s".encode()
    assert json.loads(record.value) == {
        "tenant_id": str(TENANT),
        "source": "s",
        "metrics": [{"name": "cpu", "value": 1.5, "labels": {}, "timestamp": int(NOW * 1000)}],
    }


async def test_a_batch_is_one_envelope_a_source(
    client: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    """Samples that name no source take the batch's."""
    body = {"metrics": [ONE, {**ONE, "source": "x"}, ONE], "source": "b"}
    response = await client.post(BATCH, json=body, headers={"Authorization": "Bearer good"})

    assert response.json() == {"accepted": 3}
    assert [record.key for record in publisher.records] == [
        f"{TENANT}/b".encode(),
        f"{TENANT}/x".encode(),
    ]


async def test_a_bad_batch_is_refused_whole_and_a_partial_one_in_part(
    client: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    """Nothing is published without `partial`; with it the good samples are, and the bad ones are told."""
    body = {"metrics": [ONE, {"name": "", "value": 1}]}
    refused = problem(await client.post(BATCH, json=body, headers=KEY), 422)
    assert publisher.records == []

    taken = await client.post(BATCH, json=body, headers=KEY, params={"partial": "true"})

    assert taken.status_code == 202
    assert taken.json()["accepted"] == 1
    assert len(publisher.records) == 1
    for errors in (refused["errors"], taken.json()["errors"]):
        assert [(e["index"], e["field"], e["reason"]) for e in errors] == [(1, "name", "bad_name")]


async def test_the_first_hundred_faults_are_listed_and_all_are_counted(
    publisher: MemoryPublisher,
) -> None:
    """A client that is wrong ten thousand times gets a short answer."""
    body = {"metrics": [{"name": "", "value": 1}] * 150 + [ONE]}
    async with gateway(publisher, Limits()) as client:
        refused = problem(await client.post(BATCH, json=body, headers=KEY), 422)
        taken = await client.post(BATCH, json=body, headers=KEY, params={"partial": "true"})

    assert len(refused["errors"]) == len(taken.json()["errors"]) == 100
    assert "150 of 151" in refused["detail"]
    assert (taken.json()["accepted"], taken.json()["refused"]) == (1, 150)


async def test_a_partial_batch_without_a_good_sample_is_refused(
    client: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    """There is nothing to accept."""
    body = {"metrics": [{"name": ""}]}
    problem(await client.post(BATCH, json=body, headers=KEY, params={"partial": "true"}), 422)
    assert publisher.records == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"X-API-Key": "wrong"}, 401), ({"X-API-Key": "reader"}, 403)],
)
async def test_without_a_key_of_scope_ingest_nothing_is_taken(
    client: httpx.AsyncClient, publisher: MemoryPublisher, headers: dict[str, str], status: int
) -> None:
    """401 says how to send a key, 403 which scope it lacks; the body is not even read."""
    response = await client.post(INGEST, content=b"x" * 1000, headers=headers)
    problem(response, status)
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert publisher.records == []


async def test_an_unreachable_keyring_is_temporary(client: httpx.AsyncClient) -> None:
    """The client is told when to come back."""
    response = await client.post(INGEST, json=ONE, headers={"X-API-Key": "away"})
    problem(response, 503)
    assert response.headers["retry-after"] == "3"


async def chunked(size: int) -> AsyncIterator[bytes]:
    """A body without Content-Length."""
    for _ in range(size):
        yield b" "


@pytest.mark.parametrize(
    "body",
    [
        {"content": b" " * 501},
        {"content": chunked(501)},
        {"content": gzip.compress(b" " * 501), "headers": {"Content-Encoding": "gzip"}},
        {"content": gzip.compress(b" " * 10**7), "headers": {"Content-Encoding": "gzip"}},
        {"json": {"metrics": [ONE] * 4}},
    ],
)
async def test_what_is_too_large_gets_413(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """By length, by what arrives, by what it unpacks to, by samples."""
    headers = {**KEY, "Content-Type": "application/json", **body.pop("headers", {})}
    problem(await client.post(BATCH, headers=headers, **body), 413)


async def test_a_gzip_body_is_unpacked(
    client: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    """It counts by its unpacked size and reads like any other."""
    headers = {**KEY, "Content-Type": "application/json; charset=utf-8", "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(ONE).encode())
    assert (await client.post(INGEST, content=body, headers=headers)).status_code == 202
    for broken in (body[:-4], b"no gzip", body + b"more"):
        problem(await client.post(INGEST, content=broken, headers=headers), 422)
    assert len(publisher.records) == 1


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/csv"}, {"Content-Encoding": "br"}, {"Content-Type": ""}]
)
async def test_other_types_and_codings_get_415(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    """Only JSON, plain or gzip."""
    all_headers = {**KEY, "Content-Type": "application/json", **headers}
    problem(await client.post(INGEST, content=b"{}", headers=all_headers), 415)


@pytest.mark.parametrize(
    ("error", "status"), [(Temporary("away"), 503), (Permanent("refused"), 500), (KeyError(), 500)]
)
async def test_what_kafka_did_not_take_is_never_answered_with_202(
    client: httpx.AsyncClient, publisher: MemoryPublisher, error: Exception, status: int
) -> None:
    """A retry helps, or a person must look; neither answer shows our insides."""
    publisher.error = error
    response = await client.post(INGEST, json=ONE, headers=KEY)
    document = problem(response, status)
    assert ("retry-after" in response.headers) == (status == 503)
    assert "refused" not in document["detail"]


async def test_a_full_gateway_answers_503_and_forgets_what_it_refused(
    publisher: MemoryPublisher,
) -> None:
    """Bodies are counted while they are read; afterwards nothing is held."""
    budget = Budget(40)
    async with gateway(publisher, budget=budget) as client:
        problem(await client.post(INGEST, json={**ONE, "source": "s" * 50}, headers=KEY), 503)
        assert budget.used == 0
        assert (await client.post(INGEST, json=ONE, headers=KEY)).status_code == 202
        assert budget.used == 0


async def test_readiness_follows_every_dependency(publisher: MemoryPublisher) -> None:
    """Alive all along; ready when the broker and the rest are."""
    away: list[Exception] = [Temporary("The database is away.")]

    async def ready() -> None:
        if away:
            raise away[0]

    async with gateway(publisher, ready=ready) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert "database" in problem(await client.get("/readyz"), 503)["detail"]
        away.clear()
        assert (await client.get("/readyz")).status_code == 200
        publisher.problem = "Kafka does not answer"
        assert "Kafka" in problem(await client.get("/readyz"), 503)["detail"]


async def test_metrics_count_samples_and_requests(
    client: httpx.AsyncClient, publisher: MemoryPublisher
) -> None:
    """Requests by method, route template and status, errors by type, and bad samples by reason."""
    await client.post(BATCH, json={"metrics": [ONE, ONE]}, headers=KEY)
    await client.post(INGEST, json={"name": "", "value": 1}, headers=KEY)
    await client.get("/nowhere")
    publisher.error = KeyError()
    await client.post(INGEST, json=ONE, headers=KEY)
    text = (await client.get("/metrics")).text
    assert "headrace_gateway_samples_accepted_total 2.0" in text
    assert 'headrace_gateway_samples_refused_total{reason="bad_name"} 1.0' in text
    for status in (422, 500):
        line = f'http_requests_total{{method="POST",route="{INGEST}",status="{status}"}} 1.0'
        assert line in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    duration = f'http_request_duration_seconds_count{{method="POST",route="{INGEST}"}} 2.0'
    assert duration in text
    assert "http_requests_in_progress 1.0" in text
    assert 'http_exceptions_total{exception_type="KeyError"} 1.0' in text


async def test_openapi_documents_bodies_and_problems(client: httpx.AsyncClient) -> None:
    """Every reference leads somewhere."""
    document = (await client.get("/openapi.json")).json()
    post = document["paths"][BATCH]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Batch")
    assert {"202", "401", "403", "413", "415", "422", "503"} <= post["responses"].keys()
    names = document["components"]["schemas"].keys()
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in names


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [one for value in node.values() for one in _references(value)]
    if isinstance(node, list):
        return [one for value in node for one in _references(value)]
    return []
