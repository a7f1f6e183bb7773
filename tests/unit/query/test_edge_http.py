"""The HTTP edge, whatever the route: spelling, sizes, methods, scopes, compression, caches."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.unit.query.test_edge import EmptyDatabase, ask, client

EXAMPLES = {
    "test": "checkout",
    "name": "cpu",
    "execution_id": str(uuid4()),
    "key_id": "0" * 12,
    "which": "vus",
    "domain": "shop",
    "alert_id": "0" * 32,
    "silence_id": str(uuid4()),
    "remediation_id": str(uuid4()),
}
"""Values of the parameters that stand in paths."""


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("lable=host:a", "lable", "did you mean 'label'?"),
        ("Labels=host:a", "Labels", "did you mean 'label'?"),
        ("agregation=max", "agregation", "it has agg, "),
        ("=1", "", "it has agg, "),
        ("%ff%00%0d%0a=1", "\ufffd\0\r\n", "it has agg, "),
        ("a" * 5000 + "=1", "a" * 100, "it has agg, "),
    ],
)
async def test_a_misspelt_parameter_is_not_ignored(query: str, field: str, reason: str) -> None:
    """422 names it, and the known one that is nearest, or all of them."""
    answer = await ask(f"/api/v1/metrics/series/cpu?{query}")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, f"query.{field}")
    assert reason in error["reason"]


async def test_many_misspelt_parameters_make_a_short_answer() -> None:
    """The first of them are enough to see what is wrong."""
    answer = await ask("/api/v1/runs?" + "&".join(f"p{i}=1" for i in range(2000)))
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 5


async def test_a_route_without_parameters_says_so() -> None:
    """The advice is right where there is nothing to choose from."""
    problem = (await ask(f"/api/v1/runs/{uuid4()}?x=1")).json()
    assert problem["errors"][0]["reason"] == "is no parameter of this route, which has none"


async def test_who_may_not_ask_learns_nothing_of_the_parameters() -> None:
    """401 comes before the spelling."""
    async with client(EmptyDatabase()) as http:
        answer = await http.get("/api/v1/metrics/names?x=1", headers={"X-API-Key": "bad"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/nothing/%ff%0a", 404),
        ("/api/v1/metrics/latest/", 422),
        ("/static-offline-docs/%2e%2e/%2e%2e/core.py", 404),
        (f"/{'a' * 30_000}", 404),
        (f"/{'a' * 33_000}", 414),
        (f"/api/v1/metrics/names?prefix={'a' * 33_000}", 414),
    ],
)
async def test_what_is_not_there_is_a_problem_document(path: str, status: int) -> None:
    """Of bounded size, whatever the path."""
    answer = await ask(path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert len(answer.content) < 2000


async def test_headers_without_measure_are_refused() -> None:
    """431 before anything is looked at."""
    async with client(EmptyDatabase()) as http:
        answer = await http.get("/api/v1/runs", headers={"X-A": "a" * 70_000})
    assert (answer.status_code, answer.json()["status"]) == (431, 431)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_without_measure_is_refused(declared: bool) -> None:
    """413 where its length is told, and where it comes in pieces without end."""
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for read in range(1, 1001):  # noqa: B007 - counted
            yield b"a" * 1000

    content = b"a" * 70_000 if declared else pieces()
    headers = {"X-API-Key": "admin", "Content-Type": "application/json"}
    async with client(EmptyDatabase()) as http:
        answer = await http.post("/api/v1/keys", content=content, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert read < 100


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/metrics/definitions/a%0Ab", "DELETE, GET, PUT"),
        ("/api/v1/metrics/definitions", "GET, POST"),
        ("/api/v1/metrics", "GET"),
        ("/static-offline-docs/x", "GET"),
    ],
)
async def test_a_method_that_is_not_there_names_those_that_are(path: str, allowed: str) -> None:
    """405 lists all methods of the path, not of its first route only."""
    async with client(EmptyDatabase()) as http:
        answer = await http.request("PATCH", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert allowed in answer.json()["detail"]


async def test_the_documentation_loads_nothing_from_elsewhere() -> None:
    """What its page refers to is served by this process."""
    async with client(EmptyDatabase()) as http:
        page = (await http.get("/docs")).text
        assets = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert assets
        for asset in assets:
            assert asset.startswith("/")
            assert (await http.get(asset)).status_code == 200
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("accept_encoding", "encoding"), [("gzip", "gzip"), ("gzip;q=0, *;q=0", None), ("br", None)]
)
async def test_answers_are_compressed_where_it_is_taken(
    accept_encoding: str, encoding: str | None
) -> None:
    """The document is the same either way."""
    async with client(EmptyDatabase()) as http:
        plain = await http.get("/openapi.json", headers={"Accept-Encoding": "identity"})
        answer = await http.get("/openapi.json", headers={"Accept-Encoding": accept_encoding})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.json() == plain.json()


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/runs?x=1", "/nothing", "/healthz"])
async def test_no_cache_hands_an_answer_to_another(path: str) -> None:
    """Every answer, a refusal too, is private and varies with the key and the form."""
    answer = await ask(path)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers.get_list("vary") == ["X-API-Key, Authorization, Accept, Accept-Encoding"]


@pytest.mark.parametrize("scope", ["read", "admin", "ingest"])
async def test_a_scope_implies_no_other(scope: str) -> None:
    """Each route of the document answers 403 to keys of other scopes, and only to these."""
    document = (await ask("/openapi.json")).json()
    database = EmptyDatabase()
    operations = [
        (method, re.sub(r"\{(\w+)\}", lambda found: EXAMPLES[found[1]], path))
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/")
    ]
    assert len(operations) > 15
    async with client(database) as http:
        for method, path in operations:
            answer = await http.request(method, path, headers={"X-API-Key": scope})
            manages = method != "get" or path.startswith("/api/v1/keys")
            refused = scope != ("admin" if manages else "read")
            assert (answer.status_code == 403) is refused, (method, path, answer.text)
    assert bool(database.asked) is (scope == "read")
    assert bool(database.changed) is (scope == "admin")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/metrics/definitions/%ff%fe", 404), ("/api/v1/metrics/names?prefix=%ff", 200)],
)
async def test_bytes_that_are_no_text_are_no_error_of_ours(path: str, status: int) -> None:
    """A path and a query that are not UTF-8 are answered like any others."""
    assert (await ask(path)).status_code == status
