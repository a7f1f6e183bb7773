"""What a run comes to: its rows in the database as figures that people compare."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pydantic import Field

from query.answers import Answer
from query.database import Rows
from query.parameters import State, Verdict


class RunFacts(Answer):
    """A run in a list."""

    execution_id: UUID
    test: str = Field(examples=["basic"])
    state: State
    verdict: Verdict | None = Field(description="null until the thresholds are judged")
    started_at: datetime
    finished_at: datetime | None
    tags: dict[str, str] = Field(description="of the whole run", examples=[{"branch": "main"}])
    incomplete: str | None = Field(description="why not all of it is in its figures; null: all is")


class Threshold(Answer):
    """A threshold of the script, k6's verdict and ours."""

    metric: str = Field(examples=["http_req_duration"])
    expression: str = Field(examples=["p(95)<500"])
    observed: float | None = Field(default=None, description="the value that was judged")
    passed: bool | None = Field(default=None, description="our verdict; null until it is made")
    k6_passed: bool | None = Field(default=None, description="k6's own verdict, where it told")


class K6Figures(Answer):
    """Figures of k6's own end-of-test summary, over one runner."""

    http_reqs: float | None = None
    http_reqs_per_second: float | None = None
    http_req_failed_rate: float | None = None
    http_req_duration_avg_ms: float | None = None
    http_req_duration_p95_ms: float | None = None
    iterations: float | None = None
    checks_passed: float | None = None
    checks_failed: float | None = None


class Runner(Answer):
    """A process that ran k6."""

    runner: str
    state: State
    exit_code: int | None = Field(description="of k6; 99 when a threshold was crossed")
    points_sent: int = Field(description="points that the broker acknowledged")
    k6: K6Figures | None = Field(description="what k6 itself printed, where it was kept")


class Points(Answer):
    """What became of a run's points."""

    sent: int = Field(description="acknowledged by the broker, as its runners say")
    stored: int
    dead_lettered: int


class Run(RunFacts):
    """One run."""

    script: str | None
    raw_deleted_at: datetime | None = Field(description="from then on only the aggregates are left")
    metrics: dict[str, str] = Field(description="k6's metrics and their types")
    thresholds: list[Threshold]
    runners: list[Runner]
    points: Points


class Trend(Answer):
    """How long something took, in milliseconds."""

    n: int
    avg: float
    min: float
    max: float
    p50: float
    p90: float
    p95: float
    p99: float


class Endpoint(Trend):
    """Durations of the requests to one endpoint with one outcome, in milliseconds."""

    name: str | None = Field(examples=["GET /items"])
    method: str | None = Field(examples=["GET"])
    status: str | None = Field(description="0 when no response came", examples=["200"])


class Figures(Answer):
    """Totals of a run. A figure is null when k6 did not measure it."""

    duration_seconds: float | None = Field(description="from the first start to the last finish")
    http_reqs: float | None
    http_reqs_per_second: float | None
    http_req_failed_rate: float | None = Field(description="0 to 1")
    http_req_duration: Trend | None
    iterations: float | None
    checks_passed: int | None
    checks_failed: int | None
    data_sent_bytes: float | None
    data_received_bytes: float | None


class Summary(RunFacts):
    """What a run came to."""

    figures: Figures | None = Field(description="null until the run is aggregated")
    endpoints: list[Endpoint]
    thresholds: list[Threshold]
    points: Points
    runners: list[Runner] = Field(description="k6's own figures, to compare")


def facts(row: Any) -> dict[str, Any]:
    """Fields of `RunFacts` from a row of a run."""
    known = {name: row[name] for name in RunFacts.model_fields}
    return known | {"tags": msgspec.json.decode(row["tags"])}


def run(row: Any, points: Any) -> Run:
    """A run from its row and the sums of its ledger."""
    events: dict[str, Any] = msgspec.json.decode(row["runners"])
    runners = [_runner(name, of) for name, of in sorted(events.items())]
    return Run(
        **facts(row),
        script=row["script"],
        raw_deleted_at=row["raw_deleted_at"],
        metrics=msgspec.json.decode(row["metrics"]),
        thresholds=_thresholds(msgspec.json.decode(row["thresholds"]), events.values()),
        runners=runners,
        points=Points(
            sent=sum(runner.points_sent for runner in runners),
            stored=points["stored"],
            dead_lettered=points["dead_lettered"],
        ),
    )


def summary(run: Run, metrics: Rows, endpoints: Rows) -> Summary:
    """A run's summary from its aggregates: a row a metric, and one an endpoint."""
    return Summary(
        **{name: getattr(run, name) for name in RunFacts.model_fields},
        figures=_figures(run, {row["metric"]: row for row in metrics}) if metrics else None,
        endpoints=[Endpoint(**row) for row in endpoints],
        thresholds=run.thresholds,
        points=run.points,
        runners=run.runners,
    )


def _figures(run: Run, metrics: Mapping[str, Any]) -> Figures:
    def of(metric: str, column: str) -> Any:
        return metrics[metric][column] if metric in metrics else None

    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    requests = of("http_reqs", "sum")
    checks, passed = of("checks", "n"), of("checks", "sum")
    trend = metrics.get("http_req_duration")
    return Figures(
        duration_seconds=seconds,
        http_reqs=requests,
        http_reqs_per_second=requests / seconds if requests is not None and seconds else None,
        http_req_failed_rate=of("http_req_failed", "avg"),
        http_req_duration=trend and Trend(**{name: trend[name] for name in Trend.model_fields}),
        iterations=of("iterations", "sum"),
        checks_passed=None if passed is None else round(passed),
        checks_failed=None if passed is None else checks - round(passed),
        data_sent_bytes=of("data_sent", "sum"),
        data_received_bytes=of("data_received", "sum"),
    )


def _runner(name: str, events: Mapping[str, Any]) -> Runner:
    finished = events.get("finished") or {}
    state: State = "finished" if finished else "aborted" if "aborted" in events else "running"
    exported = finished.get("summary")
    return Runner(
        runner=name,
        state=state,
        exit_code=finished.get("exit_code"),
        points_sent=sum(part["points"] for part in finished.get("sent", ())),
        k6=_k6(exported.get("metrics", {})) if exported else None,
    )


def _k6(metrics: Mapping[str, Mapping[str, Any]]) -> K6Figures:
    def of(metric: str, value: str) -> Any:
        return metrics.get(metric, {}).get(value)

    return K6Figures(
        http_reqs=of("http_reqs", "count"),
        http_reqs_per_second=of("http_reqs", "rate"),
        http_req_failed_rate=of("http_req_failed", "value"),
        http_req_duration_avg_ms=of("http_req_duration", "avg"),
        http_req_duration_p95_ms=of("http_req_duration", "p(95)"),
        iterations=of("iterations", "count"),
        checks_passed=of("checks", "passes"),
        checks_failed=of("checks", "fails"),
    )


def _thresholds(
    judged: list[dict[str, Any]], runners: Iterable[Mapping[str, Any]]
) -> list[Threshold]:
    """Judged thresholds; before that, those that the runners announced."""
    stated = judged or next(
        (e["thresholds"] for of in runners for e in of.values() if e.get("thresholds")), []
    )
    return [
        Threshold(**{name: one[name] for name in Threshold.model_fields if name in one})
        for one in stated
    ]
