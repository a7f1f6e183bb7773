"""What a demo came to: k6's figures beside headrace's, the ledger, and whether they agree. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

TOLERANCE = 0.01
"""Average and p95 may differ by this share of k6's own figure."""

THRESHOLDS_CROSSED = 99
"""Exit code of k6 for a run whose thresholds failed; 0 for one that passed."""


@dataclass(frozen=True)
class Trend:
    """Request durations in milliseconds; p50 and p99 are None where k6 was not asked for them."""

    avg: float
    p95: float
    p50: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Figures:
    """One side's account of the run. Rates are shares, 0 to 1."""

    http_reqs: int
    http_req_duration: Trend
    exit_code: int
    per_second: float
    failed_rate: float
    checks_passed: int
    checks_failed: int


@dataclass(frozen=True)
class Points:
    """What became of the run's points."""

    sent: int
    stored: int
    deduplicated: int
    dead_lettered: int


@dataclass(frozen=True)
class Seconds:
    """How long the parts of the demo took."""

    setup: float
    run: float
    post_test: float


@dataclass(frozen=True)
class Threshold:
    """A threshold of the script and what came of it; None: nobody judged it."""

    text: str
    observed: float | None
    passed: bool | None
    k6_passed: bool | None


@dataclass(frozen=True)
class Report:
    """A finished demo."""

    execution_id: str
    k6: Figures
    headrace: Figures
    points: Points
    raw_left: int
    aggregate_rows: int
    seconds: Seconds
    thresholds: list[Threshold] = field(default_factory=list)
    host_samples: int = 0

    def document(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "execution_id": self.execution_id,
            "k6": _figures(self.k6),
            "headrace": _figures(self.headrace),
            "points": asdict(self.points),
            "raw_left": self.raw_left,
            "aggregate_rows": self.aggregate_rows,
            "seconds": {name: round(value, 3) for name, value in asdict(self.seconds).items()},
        }

    def disagreements(self) -> list[str]:
        """What is not as it must be, a sentence each; empty when all agrees."""
        ours, theirs, points = self.headrace, self.k6, self.points
        found = []
        if theirs.exit_code not in {0, THRESHOLDS_CROSSED}:
            found.append(f"k6 itself failed with exit code {theirs.exit_code}.")
        elif ours.exit_code != theirs.exit_code:
            found.append(
                f"k6 ended with {theirs.exit_code}, headrace's thresholds say {ours.exit_code}."
            )
        if not points.sent:
            found.append("No point was sent.")
        if points.stored != points.sent:
            found.append(f"{points.sent} points were sent, {points.stored} are stored.")
        if points.dead_lettered:
            found.append(f"{points.dead_lettered} points are dead letters.")
        if self.raw_left:
            found.append(f"{self.raw_left} raw points are left.")
        if ours.http_reqs != theirs.http_reqs:
            found.append(f"k6 counted {theirs.http_reqs} requests, headrace {ours.http_reqs}.")
        for name in ("avg", "p95"):
            a, b = (getattr(side.http_req_duration, name) for side in (theirs, ours))
            if abs(a - b) > TOLERANCE * a:
                found.append(f"{name} is {a:.3f} ms for k6, {b:.3f} ms for headrace.")
        return found


def k6_figures(summary: Mapping[str, Any], exit_code: int) -> Figures:
    """From the document of k6's own `--summary-export`; a metric that k6 never saw counts 0."""

    def of(metric: str, value: str) -> float:
        return float(summary["metrics"].get(metric, {}).get(value, 0))

    def trend(value: str) -> float:
        return of("http_req_duration", value)

    return Figures(
        http_reqs=int(of("http_reqs", "count")),
        http_req_duration=Trend(trend("avg"), trend("p(95)"), trend("med"), trend("p(99)")),
        exit_code=exit_code,
        per_second=of("http_reqs", "rate"),
        failed_rate=of("http_req_failed", "value"),
        checks_passed=int(of("checks", "passes")),
        checks_failed=int(of("checks", "fails")),
    )


def headrace_figures(summary: Mapping[str, Any]) -> Figures:
    """From the query API's summary of the run."""
    of = summary["figures"] or {}
    trend = of.get("http_req_duration") or {}
    return Figures(
        http_reqs=int(of.get("http_reqs") or 0),
        http_req_duration=Trend(*(trend.get(name) or 0.0 for name in ("avg", "p95", "p50", "p99"))),
        exit_code=0 if summary["verdict"] == "passed" else THRESHOLDS_CROSSED,
        per_second=of.get("http_reqs_per_second") or 0.0,
        failed_rate=of.get("http_req_failed_rate") or 0.0,
        checks_passed=of.get("checks_passed") or 0,
        checks_failed=of.get("checks_failed") or 0,
    )


def thresholds(summary: Mapping[str, Any]) -> list[Threshold]:
    """From the query API's summary of the run."""
    return [
        Threshold(
            f"{one['metric']}: {one['expression']}",
            one["observed"],
            one["passed"],
            one["k6_passed"],
        )
        for one in summary["thresholds"]
    ]


def _figures(figures: Figures) -> dict[str, Any]:
    trend = figures.http_req_duration
    return {
        "http_reqs": figures.http_reqs,
        "http_req_duration": {"avg": trend.avg, "p95": trend.p95},
        "exit_code": figures.exit_code,
    }
