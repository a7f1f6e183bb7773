"""The requests that the benchmark of dashboards times: each route, of a run, of two weeks and of a year."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import get_args

from deploy.bench.dashboards_load import BUCKET_NIGHTS, DOMAIN, ENDPOINT, TEST
from deploy.bench.query_mix import Panel
from query.k6.shown import SERIES, Which

_TABLES = (
    "stats",
    "tables/requests",
    "tables/errors",
    "domains",
    f"domains/{DOMAIN}",
    "checks",
    "thresholds",
)


def dashboards(last: datetime, nights: int, run: str) -> tuple[Panel, ...]:
    """The requests, for nights up to `last`, whose run is `run`. Without a time it is that run they show."""
    weeks = _since(last, min(BUCKET_NIGHTS, nights))
    year = _since(last, nights)
    return (
        *_series("run", ()),
        *_series("run endpoint", (("endpoint", ENDPOINT),)),
        *_series("run domain", (("domain", DOMAIN),)),
        *_series("all", year),
        *_series("all endpoint", (*year, ("endpoint", ENDPOINT))),
        *_series("all domain", (*year, ("domain", DOMAIN))),
        *(
            Panel(f"{path} {name}", f"/k6/{path}", time)
            for name, time in (("run", ()), ("weeks", weeks), ("all", year))
            for path in _TABLES
        ),
        Panel("overview", "/k6/overview", (("last", "30"),)),
        Panel("runs", "/runs", (("test", TEST), ("limit", "100"))),
        Panel("execution", f"/k6/executions/{run}/stats"),
    )


def _since(last: datetime, nights: int) -> tuple[tuple[str, str], ...]:
    first, end = last - timedelta(days=nights), last + timedelta(days=1)
    return ("start", first.isoformat()), ("end", end.isoformat())


def _series(name: str, parameters: tuple[tuple[str, str], ...]) -> Iterator[Panel]:
    named = any(key in {"endpoint", "domain"} for key, _ in parameters)
    for which in get_args(Which):
        if SERIES[which].by_endpoint or not named:
            yield Panel(f"series/{which} {name}", f"/k6/series/{which}", parameters)
