"""The charts of a report: what a run did over time, as traces that page.js draws with Plotly."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from query.results import Interval, Result

_PHASES = {
    "blocked": "http_req_blocked",
    "connecting": "http_req_connecting",
    "TLS": "http_req_tls_handshaking",
    "sending": "http_req_sending",
    "waiting": "http_req_waiting",
    "receiving": "http_req_receiving",
}
_LONGEST_GRID = 2000
"""Intervals that are drawn; a run whose clocks went astray has more, and is drawn where it has points."""
_STATUSES = 8
"""Lines for status codes; the rest is one line."""
_LONGEST_NAME = 24
"""Characters of a status that a legend shows; k6's have three, a script may write what it likes."""

Value = float | None


@dataclass(frozen=True)
class Trace:
    """A line: `y` goes with the chart's `x`; `colour` names one of page.css."""

    name: str
    y: Sequence[Value]
    colour: str


@dataclass(frozen=True)
class Chart:
    """A chart. `unit` is that of its values, `stacked` areas add up. Without traces, `empty` says why."""

    key: str
    title: str
    unit: str
    empty: str
    x: Sequence[str] = ()
    traces: Sequence[Trace] = field(default=())
    stacked: bool = False
    steps: bool = False

    def drawing(self) -> dict[str, Any]:
        """What page.js gets."""
        return asdict(self)


def charts(result: Result) -> list[Chart]:
    """All charts of a run, in the order of the page."""
    grid = _grid(result.times)
    x = [one.at.isoformat().replace("+00:00", "Z") for one in grid]
    runners = max(1, len(result.run["runners"]))

    def line(name: str, colour: str, of: Callable[[Interval], Value]) -> Trace | None:
        y = [of(one) for one in grid]
        return Trace(name, y, colour) if any(value is not None for value in y) else None

    def chart(
        key: str, title: str, unit: str, empty: str, traces: Iterable[Trace | None], **how: bool
    ) -> Chart:
        return Chart(key, title, unit, empty, x, [one for one in traces if one], **how)

    asked = any("http_reqs" in one.sums for one in grid)
    no_requests = "No HTTP requests were recorded over time."
    return [
        chart(
            "rate",
            "Request rate",
            "requests/s",
            no_requests,
            [line("requests", "c1", lambda one: _per_second(one, "http_reqs"))] if asked else [],
        ),
        chart(
            "durations",
            "Response time",
            "ms",
            no_requests,
            [
                line(name, f"c{number}", lambda one, p=name: one.durations.get(p))  # type: ignore[misc]  # mypy infers no lambda with a default
                for number, name in enumerate(("p50", "p90", "p95", "p99"), 1)
            ],
        ),
        chart(
            "errors",
            "Failed requests",
            "%",
            no_requests,
            [line("failed", "bad", _failed)],
        ),
        chart(
            "vus",
            "Virtual users",
            "VUs",
            "No virtual users were recorded over time.",
            # Each runner tells of its own, once a second.
            [line("VUs", "c4", lambda one: _mean(one, "vus", runners))],
            steps=True,
        ),
        chart(
            "statuses",
            "Status codes",
            "responses/s",
            no_requests,
            _status_traces(grid),
            stacked=True,
        ),
        chart(
            "phases",
            "Where the time goes, on average",
            "ms",
            no_requests,
            [
                line(name, f"c{number}", lambda one, m=metric: _mean(one, m))  # type: ignore[misc]  # as above
                for number, (name, metric) in enumerate(_PHASES.items(), 1)
            ],
            stacked=True,
        ),
    ]


def _grid(times: Sequence[Interval]) -> list[Interval]:
    """The intervals from the first to the last, those in which nothing happened too."""
    if not times:
        return []
    step = timedelta(seconds=times[0].seconds)
    n = (times[-1].at - times[0].at) // step + 1
    if n > _LONGEST_GRID:
        return list(times)
    found = {one.at: one for one in times}
    moments = (times[0].at + number * step for number in range(n))
    return [found.get(at) or Interval(at, times[0].seconds) for at in moments]


def _per_second(one: Interval, metric: str) -> float:
    return one.sums.get(metric, 0.0) / one.seconds


def _mean(one: Interval, metric: str, times: int = 1) -> Value:
    return times * one.sums[metric] / one.counts[metric] if metric in one.sums else None


def _failed(one: Interval) -> Value:
    mean = _mean(one, "http_req_failed")
    return None if mean is None else 100 * mean


def _status_traces(grid: Sequence[Interval]) -> list[Trace]:
    totals: dict[str, float] = {}
    for one in grid:
        for status, n in one.statuses.items():
            totals[status] = totals.get(status, 0.0) + n
    often = sorted(sorted(totals, key=lambda status: -totals[status])[:_STATUSES])
    traces = [
        Trace(
            "no response" if status == "0" else status[:_LONGEST_NAME],
            [one.statuses.get(status, 0.0) / one.seconds for one in grid],
            f"s{status[0]}" if status[:1] in set("012345") else "c4",
        )
        for status in often
    ]
    if len(totals) > len(often):
        rest = [
            sum(n for status, n in one.statuses.items() if status not in often) / one.seconds
            for one in grid
        ]
        traces.append(Trace("other", rest, "c6"))
    return traces
