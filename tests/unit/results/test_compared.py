"""A comparison as people and CI read it."""

import re
from uuid import UUID
from xml.etree import ElementTree as ET

from rich.console import Console

from deploy.results.compared import headline, junit, markdown, table
from query.comparing import Verdict
from query.comparison import Compared, Comparison, ComparisonRow
from tests.run_results import FIRST, HOSTILE


def row(verdict: Verdict, name: str | None = "/items", **more: object) -> ComparisonRow:
    """A row of p95, 20 % up."""
    facts = {
        "name": name,
        "method": name and "GET",
        "status": name and "200",
        "metric": "http_req_duration",
        "quantity": "p95",
        "baseline": 100.0,
        "run": 120.0,
        "change": 0.2,
        "low": 95.0,
        "high": 105.0,
        "verdict": verdict,
        "changes": 18,
    }
    return ComparisonRow.model_validate(facts | more)


def comparison(*rows: ComparisonRow, test: str = "checkout", baseline: bool = True) -> Comparison:
    """A comparison with these rows."""
    run = Compared(
        execution_id=UUID(int=2), test=test, verdict="passed", started_at=FIRST, finished_at=None
    )
    verdict = "regressed" if any(one.verdict == "regressed" for one in rows) else "same"
    return Comparison(
        verdict=verdict if baseline else "not_enough_data",
        run=run,
        baseline=run if baseline else None,
        baseline_name="main" if baseline else None,
        runs=20,
        rows=list(rows),
    )


FAILED = {"metric": "http_req_failed", "quantity": "failed", "status": None}
ROWS = (
    row("regressed"),
    row("regressed", **FAILED, baseline=0.001, run=0.021, change=0.02, low=0.0, high=0.004),
    row("new", "/new", baseline=None, change=None, low=None, high=None),
    row("same", None),
    row("not_enough_data", "/rare", low=None, high=None),
)


def test_markdown_tells_what_changed_and_folds_the_rest() -> None:
    """For a pull request: verdict, rows with units, the others to unfold, what was compared."""
    told = markdown(comparison(*ROWS))
    assert told.startswith("### 🔴 regressed: load test `checkout`")
    assert (
        "| regressed | `GET /items 200` | `http_req_duration p95` | 100ms | 120ms | +20.0% | 95ms … 105ms |"
        in told
    )
    assert "| `GET /items` | `http_req_failed` | 0.10% | 2.10% | +2.00 pp | 0.00% … 0.40% |" in told
    changed, rest = told.split("<details>")
    assert "/new" in changed
    assert "`whole run`" in rest
    assert "baseline main" in told.replace("\\", "")


def test_hostile_names_stay_code_in_markdown() -> None:
    """Nothing of a name ends its code span, its cell or its line."""
    told = markdown(comparison(row("regressed", HOSTILE + "``\n\n# x"), test=HOSTILE))
    (line,) = [line for line in told.splitlines() if line.startswith("| regressed")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 8
    spans = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
    assert "<" not in spans
    assert not any(line.startswith("# ") for line in told.splitlines())


def test_long_comparisons_are_cut() -> None:
    """A comment has a limit; it says how many more there are."""
    told = markdown(comparison(*(row("regressed", f"/{n}") for n in range(250))))
    assert told.count("| regressed |") == 200
    assert "and 50 more" in told


def test_junit_fails_what_regressed_and_skips_what_is_unknown() -> None:
    """A case for each metric of each endpoint; the message has the figures."""
    suite = ET.fromstring(junit(comparison(*ROWS, row("same", HOSTILE), test=HOSTILE)))  # noqa: S314 - our own
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped")} == {
        "tests": "6",
        "failures": "2",
        "skipped": "1",
    }
    failures = [one.get("message") for one in suite.iter("failure")]
    assert "p95 100ms → 120ms (+20.0%; noise 95ms … 105ms)" in failures
    skipped = [case.get("classname") for case in suite if case.find("skipped") is not None]
    assert skipped == ["GET /rare 200"]


def test_a_terminal_shows_what_changed() -> None:
    """The rest only when asked for."""
    console = Console(width=200)
    with console.capture() as short:
        console.print(table(comparison(*ROWS)))
    with console.capture() as long:
        console.print(table(comparison(*ROWS), everything=True))
    assert "GET /items 200" in short.get()
    assert "whole run" not in short.get()
    assert "whole run" in long.get()
    assert "regressed: of the figures 2 regressed, 1 new, 1 same, 1 not enough data" in short.get()


def test_the_first_run_has_nothing_to_compare_with() -> None:
    """That is said, and is no failure."""
    first = comparison(baseline=False)
    assert headline(first) == "not enough data: there is no run to compare with yet"
    assert '<testsuite name="k6 checkout" tests="0"' in junit(first)
    assert "not enough data" in markdown(first)
