"""The HTTP edge over a database in memory: parameters, problems, OpenAPI."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import CollectorRegistry

from deploy.http_metrics import Measured
from query.api import create_api
from query.database import Plan, Reading, Rows
from schemas.errors import Temporary
from schemas.keys import Credential

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class EmptyDatabase:
    """Answers every query with no rows and notes what was asked; or fails with `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[UUID, str]] = []
        self.changed: list[tuple[UUID, str]] = []

    def reading(
        self, tenant_id: UUID, plan: Plan = "custom"
    ) -> AbstractAsyncContextManager[Reading]:
        """Open nothing."""
        del plan
        return self._open(tenant_id, self.asked)

    def writing(self, tenant_id: UUID) -> AbstractAsyncContextManager[Reading]:
        """Open nothing to change."""
        return self._open(tenant_id, self.changed)

    @asynccontextmanager
    async def _open(self, tenant_id: UUID, noted: list[tuple[UUID, str]]) -> AsyncIterator[Reading]:
        error = self.error

        class Nothing:
            async def rows(self, query: str, *_: object) -> Rows:
                noted.append((tenant_id, query))
                if error:
                    raise error
                return []

        yield Nothing()

    async def check(self) -> None:
        """Be ready."""


class OneKey:
    """A keyring with one key in it, and one for each scope, which is called so."""

    credential = Credential(uuid4(), frozenset({"read"}))

    async def find(self, key: str) -> Credential | None:
        """Know `good`, which may read, and the names of the scopes."""
        if key in {"ingest", "read", "admin"}:
            return Credential(self.credential.tenant_id, frozenset({key}))
        return self.credential if key == "good" else None


def client(database: EmptyDatabase) -> httpx.AsyncClient:
    """A client of an API of its own over this database, measured as the process measures it."""
    registry = CollectorRegistry()
    api = create_api(OneKey(), database, registry=registry, clock=lambda: NOW)
    transport = httpx.ASGITransport(Measured(api, registry), raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://api", headers={"X-API-Key": "good"}
    )


async def ask(path: str, database: EmptyDatabase | None = None) -> httpx.Response:
    async with client(database or EmptyDatabase()) as http:
        return await http.get(path)


async def test_the_tenant_comes_from_the_key_alone() -> None:
    """A tenant in the parameters is refused before anything is read; a header changes nothing."""
    database = EmptyDatabase()
    refused = await ask(f"/api/v1/metrics/names?tenant_id={uuid4()}", database)
    assert (refused.status_code, database.asked) == (422, [])
    async with client(database) as http:
        await http.get("/api/v1/metrics/names", headers={"X-Tenant-Id": str(uuid4())})
    assert {tenant for tenant, _ in database.asked} == {OneKey.credential.tenant_id}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/metrics", "query.name"),
        ("/api/v1/metrics?name=", "query.name"),
        ("/api/v1/metrics?name=a%00", "query.name"),
        ("/api/v1/metrics?name=a&limit=0", "query.limit"),
        ("/api/v1/metrics?name=a&limit=10001", "query.limit"),
        ("/api/v1/metrics?name=a&label=host", "query.label"),
        ("/api/v1/metrics?name=a&label=h:1&label=h:2", "query.label"),
        ("/api/v1/metrics?name=a&label=9:1", "query.label"),
        ("/api/v1/metrics?name=a&match=host", "query.match"),
        ("/api/v1/metrics?name=a&match=host~a", "query.match"),
        ("/api/v1/metrics?name=a&match=9=a", "query.match"),
        ("/api/v1/metrics?name=a&match=host=%00", "query.match"),
        ("/api/v1/metrics?name=a&match=host=~(", "query.match"),
        ("/api/v1/metrics?name=a&match=host!~a{9999}", "query.match"),
        ("/api/v1/metrics?name=a&match=host=~((a{99}){99}){99}", "query.match"),
        ("/api/v1/metrics?name=a&match=host=~a)|(b", "query.match"),
        (f"/api/v1/metrics?name=a&match=host=~{'a' * 257}", "query.match"),
        ("/api/v1/metrics?name=a" + "&match=host=a" * 17, "query.match"),
        ("/api/v1/metrics?name=a&start=yesterday", "query.start"),
        ("/api/v1/metrics?name=a&start=0.5", "query.start"),
        ("/api/v1/metrics?name=a&start=2026-06-01T10:00:00", "query.start"),
        ("/api/v1/metrics?name=a&start=2026-06-01T13:00:00Z", "query.start"),
        ("/api/v1/metrics?name=a&end=0001-01-01T00:00:00%2B14:00", "query.end"),
        ("/api/v1/metrics?name=a&end=9999-12-31T23:59:59-14:00", "query.end"),
        ("/api/v1/metrics?name=a&end=1970-01-01T00:00:00Z", "query.start"),
        ("/api/v1/metrics/names?prefix=%00", "query.prefix"),
        ("/api/v1/metrics/latest/a%00b", "path.name"),
        ("/api/v1/metrics/series/a?bucket=5", "query.bucket"),
        ("/api/v1/metrics/series/a?bucket=0s", "query.bucket"),
        ("/api/v1/metrics/series/a?bucket=1y", "query.bucket"),
        ("/api/v1/metrics/series/a?bucket=1s&start=2026-01-01T00:00:00Z", "query.bucket"),
        ("/api/v1/metrics/series/a?agg=median", "query.agg"),
        ("/api/v1/metrics/series/a?agg=", "query.agg"),
        ("/api/v1/metrics/series/a?by=9", "query.by"),
        ("/api/v1/metrics/series/a?by=a&by=a", "query.by"),
        ("/api/v1/metrics/series/a?fill=linear", "query.fill"),
        ("/api/v1/metrics/series/a?max_points=7", "query.max_points"),
        ("/api/v1/metrics/series/a?max_points=inf", "query.max_points"),
        ("/api/v1/metrics/aggregate/a?agg=rate", "query.agg"),
        ("/api/v1/metrics/aggregate/a?agg=", "query.agg"),
        ("/api/v1/metrics/aggregate/a?agg=avg,,max", "query.agg"),
        ("/api/v1/data/points?agg=raw", "query.name"),
        ("/api/v1/data/points?name=a&agg=2h", "query.agg"),
        ("/api/v1/data/points?name=a&start=10000-01-01T00:00:00Z", "query.start"),
        ("/api/v1/runs?state=lost", "query.state"),
        ("/api/v1/runs?verdict=maybe", "query.verdict"),
        ("/api/v1/runs/not-a-uuid", "path.execution_id"),
    ],
)
async def test_a_bad_parameter_is_named(path: str, field: str) -> None:
    """422 with a problem document that names the parameter and says what it should be."""
    answer = await ask(path)
    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["reason"] in problem["detail"]


async def test_an_unforeseen_error_tells_nothing_and_is_counted() -> None:
    """500 without our insides, and the type in the metrics."""
    database = EmptyDatabase(KeyError("a secret"))
    async with client(database) as http:
        answer = await http.get("/api/v1/metrics/names")
        metrics = (await http.get("/metrics")).text
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert 'http_exceptions_total{exception_type="KeyError"} 1.0' in metrics
    assert (
        'http_requests_total{method="GET",route="/api/v1/metrics/names",status="500"} 1.0'
        in metrics
    )


async def test_a_dependency_that_is_away_is_503_with_a_time() -> None:
    """Temporary errors say when to come back."""
    answer = await ask("/api/v1/runs", EmptyDatabase(Temporary("away", retry_after=7)))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


async def test_two_applications_share_no_metric() -> None:
    """Each application counts for itself."""
    first, second = client(EmptyDatabase()), client(EmptyDatabase())
    async with first as http:
        await http.get("/api/v1/runs")
        assert "/api/v1/runs" in (await http.get("/metrics")).text
    async with second as http:
        assert "/api/v1/runs" not in (await http.get("/metrics")).text


def test_the_openapi_document_is_complete() -> None:
    """Every route documents its security, its problems and every parameter; no reference dangles."""
    document = create_api(OneKey(), EmptyDatabase(), registry=CollectorRegistry()).openapi()
    (bucket,) = (
        one
        for one in document["paths"]["/api/v1/metrics/series/{name}"]["get"]["parameters"]
        if one["name"] == "bucket"
    )
    assert bucket["schema"]["default"] == "1m"  # as a request writes it
    assert set(document["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}
    operations = [
        (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
    ]
    for path, operation in operations:
        assert operation["summary"], path
        if path.startswith("/api/"):
            assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}]
            assert {"401", "403", "422", "503", "504"} <= set(operation["responses"])
        for parameter in operation.get("parameters", []):
            assert "description" in parameter or "enum" in str(parameter), (path, parameter)
    schemas = document["components"]["schemas"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []
