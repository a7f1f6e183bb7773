"""What of a run is compared with other runs: figures by endpoint and metric, from its aggregates. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import asin, exp, log, pi, sin, sqrt
from typing import Any, Literal, Protocol

from schemas.k6 import seconds_tested

Quantity = Literal["avg", "p50", "p95", "p99", "failed", "rate"]
TREND: tuple[Quantity, ...] = ("avg", "p50", "p95", "p99")

PHASES = (
    "http_req_blocked",
    "http_req_connecting",
    "http_req_tls_handshaking",
    "http_req_sending",
    "http_req_waiting",
    "http_req_receiving",
)
"""Trends that are parts of http_req_duration, or of setting up connections: not compared by themselves."""

LEAST_SHIFT = 0.03
"""Relative change of a time or rate below which nothing is called regressed, however quiet the test is."""
LEAST_SHARE = 0.001
"""The same of a share: a tenth of a percentage point."""

_MOST = 700.0
"""Of a logarithm; exp has no greater."""


@dataclass(frozen=True, order=True)
class Subject:
    """What is measured: a quantity of a metric, of an endpoint or (name None) of the whole run."""

    metric: str
    quantity: Quantity
    name: str | None = None
    method: str | None = None
    status: str | None = None

    @property
    def worse(self) -> int:
        """1 where more is worse, -1 where less is."""
        return -1 if self.quantity == "rate" else 1


@dataclass(frozen=True)
class Figure:
    """A value, and of how many points it is."""

    value: float
    n: int


Figures = Mapping[Subject, Figure]


class Scale(Protocol):
    """On which noise is as wide everywhere."""

    def place(self, figure: Figure) -> float:
        """Where a figure is."""
        ...

    def value(self, place: float) -> float:
        """What is there."""
        ...

    def least(self, value: float) -> tuple[float, float]:
        """The values around this one that are as good as it."""
        ...


class Ratios:
    """Of times and rates above zero."""

    def place(self, figure: Figure) -> float:
        """Its logarithm."""
        return log(figure.value)

    def value(self, place: float) -> float:
        """The number of this logarithm."""
        return exp(min(place, _MOST))

    def least(self, value: float) -> tuple[float, float]:
        """A few per cent either way."""
        return value / (1 + LEAST_SHIFT), value * (1 + LEAST_SHIFT)


class Differences:
    """Of values that may be zero or less, in units of `typical`."""

    def __init__(self, typical: float) -> None:
        self._unit = typical or 1.0

    def place(self, figure: Figure) -> float:
        """The value in units."""
        return figure.value / self._unit

    def value(self, place: float) -> float:
        """The value."""
        return place * self._unit

    def least(self, value: float) -> tuple[float, float]:
        """A few per cent of the unit either way."""
        return value - LEAST_SHIFT * self._unit, value + LEAST_SHIFT * self._unit


class Shares:
    """Of shares of n: angles, whose chance variance is 1/n whatever the share (Anscombe)."""

    def place(self, figure: Figure) -> float:
        """The angle."""
        n = figure.n
        return 2 * asin(sqrt(min(1.0, (figure.value * n + 0.375) / (n + 0.75))))

    def value(self, place: float) -> float:
        """The share."""
        return sin(min(pi, max(0.0, place)) / 2) ** 2

    def least(self, value: float) -> tuple[float, float]:
        """A little either way."""
        return max(0.0, value - LEAST_SHARE), min(1.0, value + LEAST_SHARE)


def figures(rows: Iterable[Any], types: Mapping[str, str], seconds: float | None) -> Figures:
    """The figures of a run from its rows of kinds summary and endpoint.

    `types` maps metrics to k6's types; without `seconds`, the run's length, there are no rates.
    Durations of requests that failed are left out: that they failed is told by their share.
    """
    found: dict[Subject, Figure] = {}
    counts: dict[Subject, tuple[float, int]] = {}
    failed: set[tuple[str | None, ...]] = set()
    for row in rows:
        metric, endpoint = row["metric"], (row["name"], row["method"], row["status"])
        if metric in {"http_req_failed", "checks", "http_reqs"}:
            quantity: Quantity = "rate" if metric == "http_reqs" else "failed"
            # Of all statuses together: the share is of what was asked, whatever came of it.
            subject = Subject(metric, quantity, *endpoint[:2])
            total, n = counts.get(subject, (0.0, 0))
            bad = row["n"] - row["sum"] if metric == "checks" else row["sum"]
            counts[subject] = total + bad, n + row["n"]
            if metric == "http_req_failed" and 2 * row["sum"] >= row["n"] and any(endpoint):
                failed.add(endpoint)
        elif types.get(metric) == "trend" and metric not in PHASES:
            for quantity in TREND:
                found[Subject(metric, quantity, *endpoint)] = Figure(row[quantity], row["n"])
    for subject, (total, n) in counts.items():
        if subject.quantity == "failed":
            found[subject] = Figure(total / n, n)
        elif seconds:
            found[subject] = Figure(total / seconds, n)
    return {
        subject: figure
        for subject, figure in found.items()
        if subject.metric != "http_req_duration"
        or (subject.name, subject.method, subject.status) not in failed
    }


def length(runners: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Seconds that a run took, as k6 divides by them: its longest runner's.

    That is the test proper, without start and end: a counter's count over its rate in k6's summary.
    Where no summary came, the times of the runner's events have to do.
    """
    lengths = []
    for events in runners.values():
        finished = events.get("finished") or {}
        began, ended = (events.get("started") or {}).get("at"), finished.get("at")
        apart = _seconds_between(began, ended) if began and ended else 0.0
        lengths.append(seconds_tested(finished.get("summary")) or apart)
    return max(lengths, default=0.0) or None


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
