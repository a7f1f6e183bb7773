"""The panels that the query benchmark asks for, as dashboards over a fleet of hosts do."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

METRICS = (
    "bench_cpu",
    "bench_disk",
    "bench_errors",
    "bench_heap",
    "bench_io",
    "bench_latency",
    "bench_load",
    "bench_memory",
    "bench_network",
    "bench_requests",
)
LATENCY = "bench_latency"
"""Defined as a histogram: its percentiles over days come from sketches. The others are gauges."""

_MINUTES = 15
"""Before the end of the data, in which a look may have been: no two need be the same to the minute."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Question:
    """What a panel shows: buckets of a metric, over the series that have the labels."""

    metric: str
    span: timedelta
    bucket: timedelta
    labels: dict[str, str] = field(default_factory=dict)
    by: str | None = None
    percentile: float | None = None
    """Of the samples of a bucket, 0 to 1; None: their mean."""

    def range(self, end: datetime) -> tuple[datetime, datetime]:
        """Whole buckets that reach from `span` before `end` to the one that holds it."""
        first = end - self.span
        return first - (first - _EPOCH) % self.bucket, end + (_EPOCH - end) % self.bucket

    def parameters(self, end: datetime) -> Parameters:
        """The query string, for data that ends at `end`."""
        first, last = self.range(end)
        return (
            ("bucket", f"{self.bucket.total_seconds():.0f}s"),
            ("agg", "avg" if self.percentile is None else f"p{100 * self.percentile:.0f}"),
            *(("label", f"{key}:{value}") for key, value in self.labels.items()),
            *((("by", self.by),) if self.by else ()),
            ("start", _text(first)),
            ("end", _text(last)),
        )


@dataclass(frozen=True)
class Panel:
    """One request to the query API; the question can also be put to the raw samples."""

    name: str
    path: str
    parameters: Parameters = ()
    question: Question | None = None

    def query(self, end: datetime) -> Parameters:
        """The query string, for data that ends at `end`."""
        return self.parameters if self.question is None else self.question.parameters(end)

    def look(self, end: datetime, hosts: int, order: random.Random) -> Parameters:
        """As `query`, of any of the hosts, and as it was asked in one of the last minutes."""
        if self.question is None:
            return self.parameters
        labels = {key: f"host-{order.randint(1, hosts)}" for key in self.question.labels}
        at = end - timedelta(minutes=order.randrange(_MINUTES))
        return replace(self.question, labels=labels).parameters(at)


def mix(days: int) -> tuple[Panel, ...]:
    """The dashboards' panels, the longest of them over all the days there are."""
    hour, all_days = timedelta(hours=1), timedelta(days=days)
    week, one = min(timedelta(days=7), all_days), {"host": "host-1"}
    five, minute = timedelta(minutes=5), timedelta(minutes=1)
    return (
        Panel("names", "/metrics/names", (("prefix", "bench_"),)),
        Panel("label_values", "/metrics/labels", (("name", "bench_cpu"), ("label", "host"))),
        Panel("latest", "/metrics/latest/bench_cpu"),
        _series("1h_host", Question("bench_cpu", hour, timedelta(seconds=10), one)),
        _series("1h_hosts", Question("bench_io", hour, minute, by="host")),
        _series("24h_host", Question("bench_memory", timedelta(days=1), five, one)),
        _series("24h_regions", Question("bench_load", timedelta(days=1), five, by="region")),
        _series("24h_p95", Question(LATENCY, timedelta(days=1), hour, percentile=0.95)),
        _series("7d_all", Question("bench_network", week, hour)),
        _series(f"{days}d_host", Question("bench_cpu", all_days, hour, one)),
        _series(f"{days}d_all", Question("bench_disk", all_days, hour)),
        _series(f"{days}d_p95", Question(LATENCY, all_days, hour, one, percentile=0.95)),
    )


def _series(name: str, question: Question) -> Panel:
    return Panel(name, f"/metrics/series/{question.metric}", question=question)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
