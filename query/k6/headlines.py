"""Figures that a run is known by, of one run or of several together."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from query.answers import Answer
from query.database import Rows
from query.k6.figures import Figures
from query.k6.runs import seconds_of
from query.summaries import RunFacts, facts

HEADLINES = ["http_reqs", "http_req_failed", "http_req_duration"]
"""The metrics of `Headline`."""
METRICS = [*HEADLINES, "vus", "vus_max", "iterations", "checks", "data_sent", "data_received"]
"""Those of `Cards`."""


class Headline(Answer):
    """What a run is known by. A figure is null when k6 did not measure it."""

    requests: int | None
    rps: float | None = Field(description="requests a second, over the whole run")
    error_rate: float | None = Field(description="0 to 1")
    p95_ms: float | None = Field(description="of http_req_duration")


class RunHeadline(RunFacts, Headline):
    """A run in a list, and what it is known by."""


class Cards(Headline):
    """What runs came to."""

    duration_seconds: float = Field(description="of the runs that have ended, one after the other")
    avg_ms: float | None = Field(description="of http_req_duration")
    vus_max: float | None = Field(description="the most at a time, of any of the runs")
    iterations: int | None
    checks_rate: float | None = Field(description="0 to 1")
    checks_passed: int | None
    checks_failed: int | None
    data_sent_bytes: float | None
    data_received_bytes: float | None


def headline(found: Mapping[str, Figures], seconds: float | None) -> dict[str, Any]:
    """Fields of `Headline` from figures by metric and the seconds that they took."""
    requests, failed, took = (found.get(name) for name in HEADLINES)
    return {
        "requests": requests and round(requests.sum),
        "rps": requests.sum / seconds if requests and seconds else None,
        "error_rate": failed and failed.mean,
        "p95_ms": took.percentiles[2] if took and took.percentiles else None,
    }


def of_runs(rows: Rows, figures: Mapping[Any, Mapping[str, Figures]]) -> list[RunHeadline]:
    """Runs of these rows, with what is known of each."""
    return [
        RunHeadline(**facts(row), **headline(figures.get(row["execution_id"], {}), seconds_of(row)))
        for row in rows
    ]


def cards(found: Mapping[str, Figures], seconds: float) -> dict[str, Any]:
    """Fields of `Cards`."""

    def total(metric: str) -> float | None:
        return found[metric].sum if metric in found else None

    checks, iterations = found.get("checks"), total("iterations")
    took = found.get("http_req_duration")
    return {
        **headline(found, seconds),
        "duration_seconds": seconds,
        "avg_ms": took and took.mean,
        "vus_max": max(
            (found[name].max for name in ("vus", "vus_max") if name in found), default=None
        ),
        "iterations": None if iterations is None else round(iterations),
        "checks_rate": checks and checks.mean,
        "checks_passed": checks and round(checks.sum),
        "checks_failed": checks and checks.n - round(checks.sum),
        "data_sent_bytes": total("data_sent"),
        "data_received_bytes": total("data_received"),
    }


def by_run(rows: Sequence[Any], found: Sequence[Figures]) -> dict[Any, dict[str, Figures]]:
    """Figures by run and metric."""
    of: dict[Any, dict[str, Figures]] = {}
    for row, one in zip(rows, found, strict=True):
        of.setdefault(row["execution_id"], {})[row["metric"]] = one
    return of
