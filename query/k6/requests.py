"""Routes of requests by endpoint and by domain."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import Field

from query.answers import Answer
from query.database import Reading, Rows
from query.k6.answers import RESPONSES, Ask, Judged, next_cursor, of_runs, offset_of
from query.k6.figures import Exactness, figures
from query.k6.readings import Endpoints, few_enough
from query.k6.runs import Runs
from query.k6.series import Domain, Name
from query.k6.tables import table
from query.parameters import CursorText, Limit
from query.paths import DOMAIN
from query.problems import bad_parameter
from query.representations import TABULAR
from schemas.definitions import Storable
from schemas.problems import described

router = APIRouter(prefix="/api/v1/k6", tags=["load tests"], responses=RESPONSES)

MOST_ENDPOINTS = 10_000
"""Of one table: a domain narrows it."""


class Requests(Answer):
    """Requests taken together, times in milliseconds. A percentile is null when it is not known."""

    domain: str | None = Field(examples=["shop.example"])
    n: int
    rps: float | None = Field(
        description="over the time of all the runs; null when it is not known"
    )
    avg: float
    min: float
    max: float
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    failed: int | None = Field(description="null where k6 judged none")
    error_share: float | None = Field(description="0 to 1")


_T = TypeVar("_T", bound=Requests)


class EndpointRequests(Requests):
    """Requests to an endpoint, whatever came of them."""

    name: str | None = Field(examples=["GET /items"])
    method: str | None = Field(examples=["GET"])


class RequestTable(Judged):
    """A page of endpoints."""

    endpoints: list[EndpointRequests]
    next_cursor: str | None = Field(description="of the page that follows; null on the last")


class Domains(Judged):
    """Domains, the busiest first."""

    domains: list[Requests]


class DomainTable(RequestTable):
    """A domain, and a page of its endpoints."""

    figures: Requests


Column = Literal[
    "name", "n", "rps", "avg", "min", "max", "p50", "p90", "p95", "p99", "failed", "error_share"
]
_Sort = Annotated[Column, Query(description="What the rows are in the order of.")]
_Order = Annotated[
    Literal["asc", "desc"], Query(description="Of them, the least or the greatest first.")
]
_Trend = Annotated[
    Storable,
    Query(
        max_length=256,
        description="The trend that is shown: of another protocol, `grpc_req_duration` or `ws_session_duration`.",
    ),
]
_DURATION = "http_req_duration"


@dataclass(frozen=True)
class _Table:
    """Which rows, in which order."""

    metric: str
    domain: str | None
    name: str | None
    sort: Column
    order: str

    def sorted(self, rows: list[EndpointRequests]) -> list[EndpointRequests]:
        """In the order that is asked for; what is not known comes last, ties by name."""
        of = attrgetter(self.sort)
        rows = sorted(rows, key=lambda row: (row.domain or "", row.name or "", row.method or ""))
        known = [row for row in rows if of(row) is not None]
        unknown = [row for row in rows if of(row) is None]
        return sorted(known, key=of, reverse=self.order == "desc") + unknown


@router.get(
    "/tables/requests",
    summary="Requests by endpoint",
    response_model=RequestTable,
    responses=TABULAR,
)
async def request_table(
    *,
    asked: Ask,
    metric: _Trend = _DURATION,
    domain: Domain = None,
    endpoint: Name = None,
    sort: _Sort = "n",
    order: _Order = "desc",
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Page through endpoints, a name and method each, over all the runs together.

    Percentiles are exact where an endpoint has one row, else merged from sketches.
    """
    chosen = _Table(metric, domain, endpoint, sort, order)
    offset = offset_of(cursor, asked.filters, chosen)
    async with asked.runs() as (reading, runs):
        rows = await _rows(reading, runs, chosen, by_endpoint=True)
    found, exactness = await _made(EndpointRequests, rows, runs)
    endpoints = chosen.sorted(found)[offset:]
    answer = RequestTable(
        **of_runs(runs),
        **exactness.fields(),
        endpoints=endpoints[:limit],
        next_cursor=next_cursor(offset, limit, len(endpoints), asked.filters, chosen),
    )
    return asked.respond(answer, "endpoints", lambda: table(EndpointRequests, answer.endpoints))


@router.get("/domains", summary="Requests by domain", response_model=Domains, responses=TABULAR)
async def domains(*, asked: Ask, metric: _Trend = _DURATION) -> Response:
    """Sum the endpoints of each domain up. A domain is the tag `domain`, or the host of the URL."""
    chosen = _Table(metric, None, None, "n", "desc")
    async with asked.runs() as (reading, runs):
        rows = await _rows(reading, runs, chosen, by_endpoint=False)
    found, exactness = await _made(Requests, rows, runs)
    found.sort(key=lambda row: -row.n)
    answer = Domains(**of_runs(runs), **exactness.fields(), domains=found)
    return asked.respond(answer, "domains", lambda: table(Requests, found))


@router.get(
    "/domains" + DOMAIN,
    summary="A domain and its endpoints",
    response_model=DomainTable,
    responses={**TABULAR, **described(404)},
)
async def one_domain(
    *,
    domain: Annotated[
        Storable, Path(max_length=1024, description="The domain.", examples=["shop.example"])
    ],
    asked: Ask,
    metric: _Trend = _DURATION,
    sort: _Sort = "n",
    order: _Order = "desc",
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Show what the requests to a domain came to, and page through its endpoints."""
    chosen = _Table(metric, domain, None, sort, order)
    offset = offset_of(cursor, asked.filters, chosen)
    async with asked.runs() as (reading, runs):
        rows = await _rows(reading, runs, chosen, by_endpoint=True)
    if not rows:
        raise HTTPException(404, f"None of these {len(runs.rows)} runs has that domain.")
    (whole,), merged = await _made(Requests, [_together(domain, rows)], runs)
    found, exactness = await _made(EndpointRequests, rows, runs)
    endpoints = chosen.sorted(found)[offset:]
    answer = DomainTable(
        **of_runs(runs),
        **exactness.and_of(merged).fields(),
        figures=whole,
        endpoints=endpoints[:limit],
        next_cursor=next_cursor(offset, limit, len(endpoints), asked.filters, chosen),
    )
    return asked.respond(answer, "endpoints", lambda: table(EndpointRequests, answer.endpoints))


async def _rows(reading: Reading, runs: Runs, chosen: _Table, *, by_endpoint: bool) -> Rows:
    """Rows by endpoint or by domain. Raises a validation error when they are too many."""
    endpoints = Endpoints(chosen.name, domain=chosen.domain)
    wanted = await few_enough(reading, runs, [chosen.metric], endpoints)
    what = (chosen.metric, by_endpoint, wanted, chosen.domain, chosen.name)
    rows = await reading.rows("k6_requests", runs.ids, *what, MOST_ENDPOINTS + 1)
    if len(rows) > MOST_ENDPOINTS:
        raise bad_parameter(
            "domain", f"must narrow the table to at most {MOST_ENDPOINTS} endpoints"
        )
    return rows


def _together(domain: str, rows: Rows) -> dict[str, Any]:
    """The row of the domain whose endpoints these are: to read their sketches twice takes twice as long."""
    sketches = [row["classes"] for row in rows]
    judged = [row for row in rows if row["judged"]]
    return {
        "domain": domain,
        **{name: sum(row[name] for row in rows) for name in ("n", "sum")},
        "min": min(row["min"] for row in rows),
        "max": max(row["max"] for row in rows),
        "failed": sum(row["failed"] for row in judged) if judged else None,
        "judged": sum(row["judged"] for row in judged),
        "exact": rows[0]["exact"] if len(rows) == 1 else None,
        "classes": None if None in sketches else b"".join(sketches),
    }


async def _made(model: type[_T], rows: Rows, runs: Runs) -> tuple[list[_T], Exactness]:
    """The rows as answers."""
    found, exactness = await figures(rows)
    seconds = runs.seconds
    texts = [name for name in ("domain", "name", "method") if name in model.model_fields]
    return [
        model(
            **{name: row[name] for name in texts},
            n=one.n,
            rps=one.n / seconds if seconds else None,
            avg=one.mean,
            min=one.min,
            max=one.max,
            **one.named,
            failed=None if row["failed"] is None else round(row["failed"]),
            error_share=row["failed"] / row["judged"] if row["judged"] else None,
        )
        for row, one in zip(rows, found, strict=True)
    ], exactness
