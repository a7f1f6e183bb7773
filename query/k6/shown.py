"""The nine series: which metrics each reads, and what it shows of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from query.k6.figures import PERCENTILES, Figures

Which = Literal[
    "request-rate",
    "response-time",
    "error-rate",
    "vus",
    "iterations",
    "checks",
    "data",
    "timings",
    "status-codes",
]
PHASES = ("blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving")

Value = Callable[[Figures, float | None], float | None]
"""Of figures, and of the seconds in which they came about."""


def _count(one: Figures, _: float | None) -> float:
    return one.sum


def _mean(one: Figures, _: float | None) -> float:
    return one.mean


def _most(one: Figures, _: float | None) -> float:
    return one.max


def rate(one: Figures, seconds: float | None) -> float | None:
    """So many a second; of a run that goes on, None."""
    return one.sum / seconds if seconds else None


def _percentile(number: int) -> Value:
    return lambda one, _: None if one.percentiles is None else one.percentiles[number]


@dataclass(frozen=True)
class Shown:
    """What a series shows: each column a value of a metric."""

    columns: Mapping[str, tuple[str, Value]]
    by_endpoint: bool = True
    """Whether k6 measures it by endpoint."""
    by_status: bool = False
    """A column for each status, of the only column's value."""
    gauge: bool = False
    percentiles: bool = False

    @property
    def metrics(self) -> list[str]:
        """Those that are read."""
        return list(dict.fromkeys(metric for metric, _ in self.columns.values()))


def _of(metric: str, **values: Value) -> dict[str, tuple[str, Value]]:
    return {name: (metric, value) for name, value in values.items()}


_PERCENTILES = {name: _percentile(at) for at, name in enumerate(PERCENTILES)}

SERIES: Mapping[Which, Shown] = {
    "request-rate": Shown(_of("http_reqs", rate=rate, count=_count)),
    "response-time": Shown(
        _of("http_req_duration", avg=_mean, min=lambda one, _: one.min, max=_most, **_PERCENTILES),
        percentiles=True,
    ),
    "error-rate": Shown(_of("http_req_failed", share=_mean, failed=_count)),
    "vus": Shown(_of("vus", avg=_mean, max=_most), by_endpoint=False, gauge=True),
    "iterations": Shown(_of("iterations", rate=rate, count=_count), by_endpoint=False),
    "checks": Shown(
        _of("checks", share=_mean, passed=_count, failed=lambda one, _: one.n - one.sum),
        by_endpoint=False,
    ),
    "data": Shown(
        {"sent": ("data_sent", rate), "received": ("data_received", rate)}, by_endpoint=False
    ),
    "timings": Shown({phase: (f"http_req_{phase}", _mean) for phase in PHASES}),
    "status-codes": Shown(_of("http_reqs", rate=rate), by_status=True),
}
