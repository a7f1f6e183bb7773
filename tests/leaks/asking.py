"""Sends what a route is asked, and reads the answer in whatever form it comes, as text."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pyarrow as pa

from query.representations import ARROW
from tests.leaks.routes import Ask, Operation


@dataclass(frozen=True)
class Heard:
    """An answer: its status, its headers and body as one text, and its ETag apart."""

    status: int
    text: str
    etag: str | None
    cursor: str | None


async def ask(
    client: httpx.AsyncClient,
    key: str,
    operation: Operation,
    request: Ask,
    accept: str = "*/*",
) -> Heard:
    """Send a request with a tenant's key."""
    method, template = operation
    answer = await client.request(
        method,
        request.url(template),
        params=dict(request.query),
        json=request.body,
        headers={"X-API-Key": key, "Accept": accept, **request.headers},
    )
    headers = {name: value for name, value in answer.headers.items() if name != "etag"}
    text = f"{headers}\n{_body(answer)}"
    cursor = None
    if answer.headers.get("content-type") == "application/json":
        document = answer.json()
        cursor = document.get("next_cursor") if isinstance(document, dict) else None
    return Heard(answer.status_code, text, answer.headers.get("etag"), cursor)


def _body(answer: httpx.Response) -> str:
    if answer.headers.get("content-type") != ARROW:
        return answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    return f"{table.schema}\n{table.to_pylist()}"


def operations(document: dict[str, Any]) -> dict[Operation, dict[str, Any]]:
    """Every operation of an OpenAPI document."""
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def hidden(routes: Iterable[Any]) -> set[str]:
    """Paths of routes that the document leaves out, those of included routers too."""
    found: set[str] = set()
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            found |= hidden(inner.routes)
        elif not getattr(route, "include_in_schema", False):  # a mount has none
            found.add(route.path)
    return found


def forms(operation: dict[str, Any]) -> list[str]:
    """Media types in which the operation answers."""
    good: list[dict[str, Any]] = [
        answer for status, answer in operation["responses"].items() if status.startswith("2")
    ]
    return sorted({form for answer in good for form in answer.get("content", {})}) or ["*/*"]


def parameters(operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where each declared parameter is (path, query, header), and its name."""
    for parameter in operation.get("parameters", ()):
        yield parameter["in"], parameter["name"]
