"""What a demo's report says, and when it says that something is wrong."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from deploy.demo.display import tables
from deploy.demo.report import (
    Figures,
    Points,
    Report,
    Seconds,
    Threshold,
    Trend,
    headrace_figures,
    k6_figures,
    thresholds,
)

_K6 = Figures(100, Trend(10.0, 20.0, 9.0, 30.0), 0, 5.0, 0.0, 200, 0)
_GOOD = Report(
    execution_id="0190",
    k6=_K6,
    headrace=_K6,
    points=Points(1500, 1500, 0, 0),
    raw_left=0,
    aggregate_rows=42,
    seconds=Seconds(10.0004, 20.0, 1.5),
    thresholds=[Threshold("http_req_duration: p(95)<500", 20.0, passed=True, k6_passed=None)],
)


def test_document_is_the_object_that_scripts_read() -> None:
    """Its fields and nesting are a contract."""
    side = {"http_reqs": 100, "http_req_duration": {"avg": 10.0, "p95": 20.0}, "exit_code": 0}
    assert _GOOD.document() == {
        "execution_id": "0190",
        "k6": side,
        "headrace": side,
        "points": {"sent": 1500, "stored": 1500, "deduplicated": 0, "dead_lettered": 0},
        "raw_left": 0,
        "aggregate_rows": 42,
        "seconds": {"setup": 10.0, "run": 20.0, "post_test": 1.5},
    }


def test_figures_within_a_hundredth_agree() -> None:
    """Average and p95 may differ by 1 %, in either direction; duplicates that were dropped are fine."""
    near = replace(_K6, http_req_duration=Trend(9.9, 20.2))
    good = replace(_GOOD, headrace=near, points=replace(_GOOD.points, deduplicated=7))
    assert good.disagreements() == []


def test_failed_thresholds_on_both_sides_agree() -> None:
    """A slow service is no fault of the pipeline, as long as both sides say so."""
    failed = replace(_K6, exit_code=99)
    assert replace(_GOOD, k6=failed, headrace=failed).disagreements() == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"points": Points(1500, 1499, 0, 0)}, "1500 points were sent, 1499 are stored"),
        ({"points": Points(1500, 1500, 0, 1)}, "1 points are dead letters"),
        ({"points": Points(0, 0, 0, 0)}, "No point was sent"),
        ({"raw_left": 3}, "3 raw points are left"),
        ({"headrace": replace(_K6, http_reqs=99)}, "k6 counted 100 requests, headrace 99"),
        (
            {"headrace": replace(_K6, http_req_duration=Trend(10.2, 20.0))},
            "avg is 10.000 ms for k6",
        ),
        (
            {"headrace": replace(_K6, http_req_duration=Trend(10.0, 19.7))},
            "p95 is 20.000 ms for k6",
        ),
        ({"headrace": replace(_K6, exit_code=99)}, "k6 ended with 0, headrace's thresholds say 99"),
        ({"k6": replace(_K6, exit_code=107)}, "k6 itself failed with exit code 107"),
    ],
)
def test_each_disagreement_is_told(wrong: dict[str, Any], said: str) -> None:
    """One thing wrong, one sentence that says what."""
    (sentence,) = replace(_GOOD, **wrong).disagreements()
    assert said in sentence


def test_figures_of_k6s_own_summary() -> None:
    """The export of `--summary-export`; what k6 did not measure counts nothing."""
    summary = {
        "metrics": {
            "http_reqs": {"count": 1306, "rate": 65.1},
            "http_req_duration": {
                "avg": 10.1,
                "med": 3.4,
                "p(90)": 20,
                "p(95)": 38.2,
                "p(99)": 127,
            },
            "http_req_failed": {"passes": 0, "fails": 1306, "value": 0},
        }
    }
    assert k6_figures(summary, 99) == Figures(
        1306, Trend(10.1, 38.2, 3.4, 127.0), 99, 65.1, 0.0, 0, 0
    )


def test_figures_of_the_query_apis_summary() -> None:
    """A verdict becomes the exit code that k6 would have given; figures that are null count nothing."""
    figures = {
        "http_reqs": 1306.0,
        "http_req_duration": {"avg": 10.1, "p50": 3.4, "p95": 38.2, "p99": 127.0},
        "http_reqs_per_second": 64.6,
        "http_req_failed_rate": 0.5,
        "checks_passed": 2,
        "checks_failed": None,
    }
    assert headrace_figures({"verdict": "failed", "figures": figures}) == Figures(
        1306, Trend(10.1, 38.2, 3.4, 127.0), 99, 64.6, 0.5, 2, 0
    )
    nothing = Figures(0, Trend(0.0, 0.0, 0.0, 0.0), 0, 0.0, 0.0, 0, 0)
    assert headrace_figures({"verdict": "passed", "figures": None}) == nothing


def test_tables_show_both_sides_the_thresholds_and_the_ledger() -> None:
    """People see what scripts see, and what nobody judged is not shown as passed."""
    judged = {"metric": "checks", "expression": "rate>0.9", "observed": 0.5, "passed": False}
    report = replace(
        _GOOD,
        thresholds=[*_GOOD.thresholds, *thresholds({"thresholds": [judged | {"k6_passed": True}]})],
    )
    console = Console(width=100)
    with console.capture() as shown:
        console.print(tables(report))
    lines = [" ".join(line.split()) for line in shown.get().splitlines()]
    assert "requests 100 100" in lines
    assert "p99 30.00 ms 30.00 ms" in lines
    assert "http_req_duration: p(95)<500 20 - passed" in lines
    assert "checks: rate>0.9 0.5 passed failed" in lines
    assert "points stored 1,500" in lines
