"""A run is judged on what all of its runners sent."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from schemas.runs import PartitionSent, RunAborted, RunFinished, RunStarted, Threshold
from schemas.thresholds import Judgement, Statistics
from sinks.runs import Counts, Landed, Run, phase
from workflows.post_test.verdicts import declared, duration, judge, mismatches, question, verdict

EXECUTION, TENANT = UUID(int=1), UUID(int=2)
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
NOTHING_COUNTED = Counts(raw=0, stored=0, summarised=0, ledger=())


def started(runner: str = "a", expected: int = 1) -> RunStarted:
    return RunStarted(
        execution_id=EXECUTION,
        tenant_id=TENANT,
        at=BEGAN,
        runner=runner,
        test="checkout",
        script="checkout.js",
        runners_expected=expected,
    )


def finished(
    runner: str = "a",
    *,
    sent: dict[int, int] | None = None,
    thresholds: tuple[Threshold, ...] = (),
    exit_code: int = 0,
    summary: dict[str, object] | None = None,
    seconds: float = 20,
) -> RunFinished:
    return RunFinished(
        execution_id=EXECUTION,
        tenant_id=TENANT,
        at=BEGAN + timedelta(seconds=seconds),
        runner=runner,
        topic="samples",
        sent=[PartitionSent(partition=p, points=n, last_offset=9) for p, n in (sent or {}).items()],
        exit_code=exit_code,
        metrics={},
        thresholds=list(thresholds),
        summary=summary,
    )


def aborted(runner: str = "a") -> RunAborted:
    return RunAborted(
        execution_id=EXECUTION, tenant_id=TENANT, at=BEGAN, runner=runner, reason="lost"
    )


def a_run(*events: RunStarted | RunFinished | RunAborted, state: str = "running") -> Run:
    return Run(
        state=state,  # type: ignore[arg-type] # tests pass literals
        started=tuple(e for e in events if isinstance(e, RunStarted)),
        finished=tuple(e for e in events if isinstance(e, RunFinished)),
        aborted=tuple(e for e in events if isinstance(e, RunAborted)),
        metrics={},
    )


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (a_run(started()), "running"),
        (a_run(finished()), "running"),
        (a_run(started(), finished()), "aggregating"),
        (a_run(started("a", 2), finished("a")), "running"),
        (a_run(started("a", 2), started("b", 2), finished("a"), finished("b")), "aggregating"),
        (a_run(started(), aborted()), "aborted"),
        (a_run(started("a", 2), finished("a"), aborted("b")), "aborted"),
        (a_run(started(), aborted(), finished()), "aggregating"),
        (a_run(started(), finished(), state="finished"), "finished"),
    ],
)
def test_a_runs_state_follows_from_its_events(run: Run, expected: str) -> None:
    """It aggregates when every expected runner has finished, which its started event alone tells."""
    assert phase(run) == expected


def test_thresholds_of_several_runners_are_one() -> None:
    """Runners of a script state the same thresholds; k6 failed where any runner's failed."""
    limit = Threshold(metric="d", expression="p(95)<5")
    run = a_run(
        finished("a", thresholds=(limit.model_copy(update={"k6_passed": True}),)),
        finished("b", thresholds=(limit.model_copy(update={"k6_passed": False}),)),
        finished("c", thresholds=(limit,)),
    )
    assert [t.k6_passed for t in declared(run)] == [False]


def judged(metric: str, expression: str, points: Statistics, k6: bool | None = None) -> Judgement:
    threshold = Threshold(metric=metric, expression=expression, k6_passed=k6)
    return judge(threshold, question(threshold, {"d": "trend"}), points, 10)


def test_a_threshold_tells_what_was_observed() -> None:
    """The judgement carries the value beside both verdicts."""
    found = judged("d{name:x}", "max<5", Statistics(n=1, sum=7, min=7, max=7, nonzero=1), k6=True)
    assert (found.observed, found.passed, found.k6_passed) == (7, False, True)


def test_a_threshold_that_cannot_be_read_is_left_to_k6() -> None:
    """What a newer k6 may write is neither passed nor failed here: k6's word stands, or it failed."""
    assert judged("d", "iqr<5", Statistics(), k6=True).passed is None
    assert verdict(a_run(finished()), [judged("d", "iqr<5", Statistics(), k6=True)]) == "passed"
    assert verdict(a_run(finished()), [judged("d", "iqr<5", Statistics())]) == "failed"


@pytest.mark.parametrize(
    ("exit_code", "expected"), [(0, "passed"), (99, "passed"), (107, "failed")]
)
def test_k6s_own_failure_fails_the_run(exit_code: int, expected: str) -> None:
    """A script that threw fails its run; crossed thresholds are judged anew."""
    assert verdict(a_run(finished(exit_code=exit_code)), []) == expected


def test_the_duration_is_k6s_own_where_its_summary_tells() -> None:
    """A counter's count over its rate is the test proper; else the events' times have to do."""
    summary: dict[str, object] = {
        "metrics": {"vus": {"value": 2}, "iterations": {"count": 20, "rate": 10}}
    }
    assert duration(a_run(started(), finished(summary=summary))) == 2
    assert duration(a_run(started(), finished(seconds=20))) == 20
    assert duration(a_run()) is None


@pytest.mark.parametrize(
    "metrics", [[], {"a": 1}, {"a": {"count": "x", "rate": 1}}, {"a": {"count": 0, "rate": 0}}]
)
def test_a_summary_of_another_shape_is_not_used(metrics: object) -> None:
    """Whatever a runner calls its summary, the run can be judged."""
    assert duration(a_run(started(), finished(summary={"metrics": metrics}, seconds=20))) == 20


def test_each_point_sent_is_stored_or_dead_lettered() -> None:
    """Counts agree when what both runners sent is in the ledger, in the raw points and in the summaries."""
    run = a_run(finished("a", sent={0: 3, 1: 2}), finished("b", sent={0: 4}))
    landed = (Landed("samples", 0, 6, 1), Landed("samples", 1, 2, 0))
    assert mismatches(run, Counts(8, 8, 8, landed)) == []
    assert mismatches(a_run(finished()), NOTHING_COUNTED) == []


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        (Counts(6, 6, 6, (Landed("samples", 0, 6, 0),)), "7 points sent, but 6 stored"),
        (Counts(8, 8, 8, (Landed("samples", 0, 8, 0),)), "7 points sent, but 8 stored"),
        (NOTHING_COUNTED, "7 points sent, but 0 stored"),
        (Counts(7, 7, 7, (Landed("samples", 0, 7, 0), Landed("x", 3, 1, 0))), "x/3: 0 points sent"),
        (Counts(6, 7, 7, (Landed("samples", 0, 7, 0),)), "6 raw points"),
        (Counts(7, 7, 0, (Landed("samples", 0, 7, 0),)), "summaries hold 0"),
    ],
)
def test_a_mismatch_names_the_place(counts: Counts, word: str) -> None:
    """Too few, too many, elsewhere: each is told with its figures."""
    assert word in "; ".join(mismatches(a_run(finished(sent={0: 7})), counts))
