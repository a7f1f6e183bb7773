"""Runs of a test night by night, as a real one has them: lognormal response times, noise of the night, drift."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from query.run_figures import Figures, figures

ENDPOINTS = 20
REQUESTS = 3000
SECONDS = 1800.0
TYPES = {"http_req_duration": "trend", "checkout_seconds": "trend", "http_reqs": "counter"}


@dataclass
class Nights:
    """Makes the aggregate rows of one run after another.

    Each night the machine is some per cent faster or slower (`common`), each endpoint too (`own`), and
    each walks away slowly (`drift`), so that a year's last run differs from the first.
    """

    seed: int
    common: float = 0.03
    own: float = 0.012
    drift: float = 0.001
    requests: int = REQUESTS
    _level: Any = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._level = np.log(self._random.uniform(20, 200, ENDPOINTS))

    def rows(
        self, slower: Mapping[int, float] | None = None, failing: Mapping[int, float] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of the next run; some endpoints are slower by a factor, or fail with this share."""
        random = self._random
        self._level += random.normal(0, self.drift, ENDPOINTS)
        night = random.normal(0, self.common)
        found: list[dict[str, Any]] = []
        every: list[Any] = []
        for endpoint in range(ENDPOINTS):
            n = int(random.poisson(self.requests))
            level = self._level[endpoint] + night + random.normal(0, self.own)
            values = np.exp(random.normal(level, 0.4, n)) * (slower or {}).get(endpoint, 1.0)
            every.append(values)
            failed = float(random.binomial(n, (failing or {}).get(endpoint, 0.002)))
            place = {"name": f"/items/{endpoint:02d}", "method": "GET", "status": "200"}
            found.append(_trend("http_req_duration", values, place))
            found.append(_count("http_reqs", n, n, place))
            found.append(_count("http_req_failed", n, failed, place))
        nowhere = {"name": None, "method": None, "status": None}
        together = np.concatenate(every)
        found.append(_trend("http_req_duration", together, nowhere))
        found.append(_trend("checkout_seconds", together[:: ENDPOINTS // 2], nowhere))
        found.append(_count("http_reqs", together.size, together.size, nowhere))
        checks = random.binomial(together.size, 0.999)
        found.append(_count("checks", together.size, float(checks), nowhere))
        return found

    def run(
        self, slower: Mapping[int, float] | None = None, failing: Mapping[int, float] | None = None
    ) -> Figures:
        """The figures of the next run."""
        return figures(self.rows(slower, failing), TYPES, SECONDS)


def _trend(metric: str, values: Any, place: Mapping[str, str | None]) -> dict[str, Any]:
    p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99]).tolist()
    return {
        **place,
        "metric": metric,
        "n": int(values.size),
        "sum": float(values.sum()),
        "min": float(values.min()),
        "max": float(values.max()),
        "avg": float(values.mean()),
        "p50": p50,
        "p90": p90,
        "p95": p95,
        "p99": p99,
    }


def _count(metric: str, n: int, total: float, place: Mapping[str, str | None]) -> dict[str, Any]:
    one = total / n
    return {
        **place,
        "metric": metric,
        "n": n,
        "sum": float(total),
        "min": 0.0,
        "max": 1.0,
        **dict.fromkeys(("avg", "p50", "p90", "p95", "p99"), one),
    }
