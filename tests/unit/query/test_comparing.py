"""What a comparison finds in a year of nightly runs, and what it keeps quiet about."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from query.comparing import AROUND, Row, compare, overall
from query.run_figures import Figure, Figures, Quantity, Subject, figures, length
from tests.year_of_runs import ENDPOINTS, SECONDS, TYPES, Nights

LEARNT = 20


def last(history: Sequence[Figures]) -> tuple[Figures, Sequence[Figures], Sequence[Figures]]:
    """The run before as baseline, as it is by default: baseline, history and the runs around it."""
    return history[-1], history[-LEARNT:], history[-1 - AROUND : -1]


def changed(rows: Sequence[Row]) -> dict[str | None, set[str]]:
    """The verdicts other than `same`, by endpoint."""
    found: dict[str | None, set[str]] = {}
    for row in rows:
        if row.verdict != "same":
            found.setdefault(row.subject.name, set()).add(row.verdict)
    return found


@pytest.fixture(scope="module")
def year() -> tuple[list[Figures], Nights]:
    """365 nights of a test with 20 endpoints."""
    nights = Nights(seed=365)
    return [nights.run() for _ in range(365)], nights


def test_a_year_of_unchanged_nights_flags_nothing(year: tuple[list[Figures], Nights]) -> None:
    """Every fifth night of the year against the night before: 67 comparisons of 130 figures each."""
    history, _ = year
    flagged = {}
    for night in range(30, 365, 5):
        found = changed(compare(history[night], *last(history[:night])))
        if found:
            flagged[night] = found
    assert flagged == {}


@pytest.mark.parametrize("learnt", [8, 12, 20])
def test_a_fifth_more_is_found_in_one_endpoint_of_twenty(learnt: int) -> None:
    """In each of ten tests, wherever it is, and nothing else is flagged."""
    for seed in range(10):
        nights = Nights(seed)
        history = [nights.run() for _ in range(learnt)]
        rows = compare(nights.run(slower={seed: 1.2}), *last(history))
        assert overall(rows) == "regressed"
        assert changed(rows) == {f"/items/{seed:02d}": {"regressed"}}, seed


def test_a_fifth_less_is_an_improvement(year: tuple[list[Figures], Nights]) -> None:
    """Faster is no regression: the verdict on the whole is improved."""
    history, nights = year
    rows = compare(nights.run(slower={4: 1 / 1.25}), *last(history))
    assert overall(rows) == "improved"
    assert changed(rows) == {"/items/04": {"improved"}}


def test_a_slow_night_of_the_machine_is_no_regression_of_each_endpoint() -> None:
    """All endpoints 8 % slower where nights differ by 4 %: noise; and one that is 20 % slower besides is found."""
    nights = Nights(11, common=0.04)
    history = [nights.run() for _ in range(LEARNT)]
    everywhere = dict.fromkeys(range(ENDPOINTS), 1.08)
    assert changed(compare(nights.run(slower=everywhere), *last(history))) == {}
    one_more = compare(nights.run(slower={**everywhere, 5: 1.08 * 1.2}), *last(history))
    assert changed(one_more) == {"/items/05": {"regressed"}}


def test_all_endpoints_at_once_are_found_too() -> None:
    """A release that slows down everything by half is no slow night of the machine."""
    nights = Nights(12)
    history = [nights.run() for _ in range(LEARNT)]
    rows = compare(nights.run(slower=dict.fromkeys(range(ENDPOINTS), 1.5)), *last(history))
    found = changed(rows)
    assert found[None] == {"regressed"}
    assert len(found) == ENDPOINTS + 1


def test_errors_of_one_endpoint_are_found() -> None:
    """A share of errors that chance does not explain; 3 of 3,000 where 6 are usual is none."""
    nights = Nights(13)
    history = [nights.run() for _ in range(LEARNT)]
    rows = compare(nights.run(failing={9: 0.02}), *last(history))
    (row,) = [row for row in rows if row.verdict != "same"]
    assert (row.subject.name, row.subject.quantity) == ("/items/09", "failed")
    assert changed(compare(nights.run(failing={9: 0.001}), *last(history))) == {}


def test_a_slow_creep_is_found_against_an_older_baseline() -> None:
    """1.5 % a night is within the noise of each night; against the run of 30 nights ago it is not."""
    nights = Nights(14)
    history = [nights.run(slower={2: 1.015**night}) for night in range(60)]
    run = nights.run(slower={2: 1.015**60})
    assert changed(compare(run, *last(history))) == {}
    old = compare(run, history[30], history[-LEARNT:], history[26:30])
    assert changed(old) == {"/items/02": {"regressed"}}


def test_a_baseline_unlike_the_runs_before_it_speaks_for_itself() -> None:
    """Pinned right after an endpoint became twice as fast, it is that speed that is lost again."""
    nights = Nights(15)
    history = [nights.run() for _ in range(LEARNT)]
    around = history[-AROUND:]
    pinned = nights.run(slower={6: 0.5})
    rows = compare(nights.run(), pinned, [*history, pinned], around)
    assert changed(rows) == {"/items/06": {"regressed"}}


@pytest.mark.parametrize(("runs", "enough"), [(0, False), (6, False), (7, True)])
def test_noise_is_learnt_from_seven_runs_at_least(runs: int, enough: bool) -> None:
    """Before that every figure says that there is not enough data, however far it went."""
    nights = Nights(16)
    history = [nights.run() for _ in range(runs)]
    baseline = history[-1] if history else nights.run()
    rows = compare(nights.run(slower={1: 9.0}), baseline, history, history[-1 - AROUND : -1])
    assert overall(rows) == ("regressed" if enough else "not_enough_data")
    if not enough:
        assert {row.verdict for row in rows} == {"not_enough_data"}
        assert {row.low for row in rows} == {None}


def test_new_and_gone_endpoints_are_said() -> None:
    """With their figures; an endpoint that answers with another status is neither."""
    nights = Nights(17)
    history = [nights.run() for _ in range(LEARNT)]
    run = dict(nights.run())
    moved = {
        subject: replace(subject, name="/items/new")
        if subject.name == "/items/00"
        else replace(subject, status="204")
        if subject.name == "/items/01" and subject.status
        else subject
        for subject in run
    }
    rows = compare({moved[s]: figure for s, figure in run.items()}, *last(history))
    assert changed(rows) == {"/items/new": {"new"}, "/items/00": {"gone"}}
    assert {row.baseline for row in rows if row.verdict == "new"} == {None}
    assert overall(rows) == "same"


def flat(value: float, n: int = 1000) -> Figures:
    """A run with one trend."""
    return {Subject("cart_items", "avg"): Figure(value, n)}


@pytest.mark.parametrize(
    ("baseline", "run", "verdict"),
    [
        (10.0, 10.2, "same"),  # below the floor, however quiet the test
        (10.0, 10.4, "regressed"),
        (10.0, 9.6, "improved"),
    ],
)
def test_a_quiet_test_has_a_floor(baseline: float, run: float, verdict: str) -> None:
    """Where no run ever differed a change counts from 3 % on."""
    (row,) = compare(flat(run), flat(baseline), [flat(10.0)] * 10, [flat(10.0)] * 4)
    assert row.verdict == verdict


def test_values_of_zero_and_below_are_compared() -> None:
    """A trend of the script's own may be anything: then differences count, not ratios."""
    history = [flat(value) for value in (0.0, 1.0, -1.0, 0.5, 0.0, -0.5, 1.0, 0.0, -1.0, 0.5)]
    (same,) = compare(flat(-1.0), flat(0.5), history, history[-5:-1])
    (worse,) = compare(flat(50.0), flat(0.5), history, history[-5:-1])
    assert (same.verdict, worse.verdict) == ("same", "regressed")


@pytest.mark.parametrize(("quantity", "least"), [("p50", 20), ("p95", 200), ("p99", 1000)])
def test_a_percentile_needs_points_beyond_it(quantity: Quantity, least: int) -> None:
    """One stall decides the p99 of a hundred requests: it is judged where ten lie beyond it."""
    subject = Subject("cart_items", quantity)
    history = [{subject: Figure(10.0, 5000)}] * 10
    for n, verdict in ((least - 1, "not_enough_data"), (least, "regressed")):
        (row,) = compare({subject: Figure(50.0, n)}, history[0], history, history[:4])
        assert row.verdict == verdict


def test_few_points_are_not_enough() -> None:
    """An average of 19 points is not judged; a run much thinner than the others has a wider band."""
    history = [flat(10.0 + 0.05 * (number % 3)) for number in range(12)]
    (few,) = compare(flat(99.0, 19), flat(10.0), history, history[-5:-1])
    assert few.verdict == "not_enough_data"
    (thick,) = compare(flat(10.5), flat(10.0), history, history[-5:-1])
    (thin,) = compare(flat(10.5, 20), flat(10.0), history, history[-5:-1])
    assert (thick.verdict, thin.verdict) == ("regressed", "same")


def test_durations_of_failed_requests_are_not_compared() -> None:
    """Their share is: of all statuses of the endpoint together. Rates need the run's length."""
    rows = Nights(18).rows()
    for row in rows:
        if row["name"] == "/items/00" and row["metric"] == "http_req_failed":
            row |= {"sum": row["n"]}
    found = figures(rows, TYPES, SECONDS)
    of_it = {subject.quantity for subject in found if subject.name == "/items/00"}
    assert of_it == {"failed", "rate"}
    assert found[Subject("http_req_failed", "failed", "/items/00", "GET")].value == 1.0
    assert "rate" not in {subject.quantity for subject in figures(rows, TYPES, None)}


@pytest.mark.parametrize(
    ("runners", "seconds"),
    [
        ({}, None),
        ({"a": {"started": {"at": "2026-01-01T00:00:00Z"}}}, None),
        (
            {
                "a": {
                    "started": {"at": "2026-01-01T00:00:00Z"},
                    "finished": {"at": "2026-01-01T00:01:00Z", "summary": None},
                },
                "b": {
                    "finished": {
                        "at": "2026-01-01T00:01:00Z",
                        "summary": {"metrics": {"x": {"value": 1}, "y": {"count": 90, "rate": 1}}},
                    }
                },
            },
            90.0,
        ),
    ],
)
def test_a_run_is_as_long_as_its_longest_runner(
    runners: Mapping[str, Mapping[str, object]], seconds: float | None
) -> None:
    """By k6's own count over rate, else by its events."""
    assert length(runners) == seconds
