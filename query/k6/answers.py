"""What a route of load tests is handed, and what each of its answers says of itself."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pyarrow as pa
from fastapi import Depends, Request, Response
from pydantic import Field

from query import cursors, freshness
from query.answers import Answer
from query.credentials import Tenant
from query.database import Reading
from query.k6.runs import Filtered, Filters, Runs, choose
from query.parts import Parts, Wired
from query.representations import Accept, Accepted
from schemas.problems import described

RESPONSES = described(401, 403, 422, 503, 504)
"""OpenAPI entries of each of the routes."""
_MINUTE = 60


class OfRuns(Answer):
    """An answer about some runs."""

    runs: int = Field(description="how many runs the filters let pass")
    pending: int = Field(
        description="those of them that go on or are being aggregated: not in any figure"
    )
    execution_id: UUID | None = Field(description="of the run, when it is only one")


class Judged(OfRuns):
    """An answer with percentiles."""

    exact: bool = Field(description="whether percentiles are those of the raw points")
    relative_error: float | None = Field(
        description="of those from sketches, at most", examples=[0.01]
    )
    reason: str | None = Field(description="why something is missing, or comes from elsewhere")


def of_runs(runs: Runs) -> dict[str, Any]:
    """Fields of `OfRuns`."""
    return {"runs": len(runs.rows), "pending": runs.pending, "execution_id": runs.only}


@dataclass
class Asked:
    """A request, and what it is answered with."""

    request: Request
    parts: Parts
    tenant: UUID
    accepted: Accept
    filters: Filters
    now: datetime
    etag: freshness.ETag | None = field(default=None, init=False)

    @asynccontextmanager
    async def runs(self, *, under_way: bool = False) -> AsyncIterator[tuple[Reading, Runs]]:
        """A transaction, and the runs that are meant in it; `under_way` as in `choose`.

        Raises:
            NotModified: nothing is known of them that the client's answer was not made from.
        """
        async with self.parts.database.reading(self.tenant) as reading:
            runs = await choose(reading, self.filters, under_way=under_way)
            self.version(*runs.rows)
            yield reading, runs

    def version(self, *facts: Any) -> None:
        """Take the answer for one that changes with these rows of runs, and with the minute.

        All of it is the tenant's own. The minute, because a run that is aggregated once more looks as it
        did. Raises NotModified as `runs`.
        """
        minute = int(self.now.timestamp()) // _MINUTE
        url = (self.request.url.path, sorted(self.request.query_params.multi_items()))
        form = self.request.headers.getlist("accept")
        text = repr((self.tenant, url, form, minute)).encode("utf-8", "backslashreplace")
        text += msgspec.json.encode([tuple(row.values()) for row in facts])
        state = hashlib.blake2b(text, digest_size=16).digest()
        sent = self.request.headers.getlist("if-none-match")
        versions: freshness.Versions = self.request.app.state.versions
        known = versions.find(state)
        if known is not None and freshness.matches(sent, known):
            raise freshness.NotModified(known)
        self.etag = freshness.ETag(self.tenant, state, sent, versions)

    def respond(self, answer: Answer, rows: str, table: Callable[[], pa.Table]) -> Response:
        """The response, in the form and with the tag that the request asks for."""
        return self.accepted.respond(answer, rows=rows, table=table, etag=self.etag)


async def _asked(
    request: Request, parts: Wired, tenant: Tenant, accepted: Accepted, filters: Filtered
) -> Asked:
    return Asked(request, parts, tenant, accepted, filters, parts.clock())


Ask = Annotated[Asked, Depends(_asked)]
"""What a route of load tests is handed; its filters are parameters of the route."""


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a page of a table ended: tables of finished runs stay as they are."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


def offset_of(cursor: str | None, *request: object) -> int:
    """How many rows were on the pages before."""
    return cursors.decode(cursor, Place, *request).offset if cursor is not None else 0


def next_cursor(offset: int, limit: int, found: int, *request: object) -> str | None:
    """The cursor of the page that follows, when more than the page was found from `offset` on."""
    return cursors.encode(Place(offset + limit), *request) if found > limit else None
