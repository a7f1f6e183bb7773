"""A run is judged on what all of its runners sent."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from schemas.runs import PartitionSent, RunAborted, RunFinished, RunStarted, Threshold
from schemas.thresholds import Judgement, Statistics
from sinks.run_states import Run, phase, shortfall
from sinks.runs import Counts, Landed
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


def a_run(
    *events: RunStarted | RunFinished | RunAborted,
    state: str = "running",
    incomplete: str | None = None,
    seconds: float | None = None,
) -> Run:
    return Run(
        incomplete=incomplete,
        seconds=seconds,
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
        (a_run(started(), state="aggregating", incomplete="silence"), "aggregating"),
        (a_run(started(), finished(), state="finished", incomplete="silence"), "finished"),
    ],
)
def test_a_runs_state_follows_from_its_events(run: Run, expected: str) -> None:
    """It aggregates when every expected runner has finished, which its started event alone tells."""
    assert phase(run) == expected


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (a_run(started(), finished()), None),
        (a_run(finished()), "no runner said that it started, so nobody knows how many there were"),
        (
            a_run(started("a", 4), started("b", 4), started("c", 4), finished("a"), aborted("c")),
            "1 of 4 runners finished; c aborted: lost; b was not heard of any more; 1 never started",
        ),
    ],
)
def test_an_incomplete_run_says_who_is_missing_and_why(run: Run, expected: str | None) -> None:
    """Aborted, silent and never started are told apart; a run that is whole misses nobody."""
    assert shortfall(run) == expected


def test_an_incomplete_run_has_not_passed() -> None:
    """Whatever the runners that are there came to."""
    assert verdict(a_run(started("a", 2), finished("a"), incomplete="b"), []) == "failed"


def test_a_runner_that_died_states_its_thresholds_by_its_start() -> None:
    """What a bridge could not say at the end, it said at the beginning."""
    limit = Threshold(metric="d", expression="p(95)<5")
    begun = started("a", 2).model_copy(update={"thresholds": [limit]})
    assert declared(a_run(begun)) == [limit]
    assert duration(a_run(begun, seconds=7.0)) == 7


def test_a_test_cut_short_has_not_passed() -> None:
    """A threshold with abortOnFail that one runner crossed ended that runner's test, though all points hold."""
    points = Statistics(n=2, sum=3, min=1, max=2, nonzero=2)
    cut = Threshold(metric="d", expression="max<5", abort_on_fail=True, k6_passed=False)
    run = a_run(finished("a", exit_code=99), finished("b"))
    found = judge(cut, question(cut, {"d": "trend"}), points, 10)
    assert found.passed
    assert verdict(run, [found]) == "failed"
    assert verdict(run, [judged("d", "max<5", points, k6=False)]) == "passed"


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
    ("exit_code", "expected"), [(0, "passed"), (99, "passed"), (107, "failed"), (108, "failed")]
)
def test_k6s_own_failure_fails_the_run(exit_code: int, expected: str) -> None:
    """A script that threw or called test.abort() fails its run; crossed thresholds are judged anew."""
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


def test_an_incomplete_run_may_have_more_points_than_were_stated() -> None:
    """What the missing runner sent nobody said; what the others said they sent must be there."""
    run = a_run(finished("a", sent={0: 3}), incomplete="b")
    assert mismatches(run, Counts(5, 5, 5, (Landed("samples", 0, 5, 0),))) == []
    assert "3 points sent, but 2 stored" in str(
        mismatches(run, Counts(2, 2, 2, (Landed("samples", 0, 2, 0),)))
    )


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
