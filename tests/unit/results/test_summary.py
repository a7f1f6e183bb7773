"""The terminal summary: k6's own figures and words, computed from the points."""

import gzip
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from deploy.results import wording
from deploy.results.summary import facts, text
from query.results import Result
from query.run_figures import length
from tests.run_results import FIRST, HOSTILE, result

DATA = Path(__file__).parents[2] / "data"


def aggregated(version: str) -> Result:
    """A real run as the aggregation leaves it, recomputed here from k6's own output."""
    folder = DATA / f"k6-{version}"
    lines = gzip.decompress((folder / "run.json.gz").read_bytes()).splitlines()
    summary = json.loads((folder / "summary.json").read_bytes())
    types: dict[str, str] = {}
    values: dict[str, list[float]] = {}
    listed: list[float] = []
    for line in map(json.loads, lines):
        if line["type"] == "Metric":
            types[line["data"]["name"]] = line["data"]["type"]
            continue
        values.setdefault(line["metric"], []).append(line["data"]["value"])
        if line["metric"] == "http_req_duration" and line["data"]["tags"].get("name") == "list":
            listed.append(line["data"]["value"])
    durations = values["http_req_duration"]
    failed = float(np.mean(values["http_req_failed"]))
    judged = [
        ("http_req_duration", "p(95)<500", float(np.percentile(durations, 95)), True),
        ("http_req_duration", "p(99)<900", float(np.percentile(durations, 99)), True),
        ("http_req_duration{name:list}", "avg<300", float(np.mean(listed)), True),
        ("http_req_failed", "rate<0.5", failed, False),
    ]
    runners = {"here": {"finished": {"at": FIRST.isoformat(), "summary": summary}}}
    run: dict[str, Any] = {
        "execution_id": UUID(int=1),
        "test": "script",
        "state": "finished",
        "verdict": "failed",
        "incomplete": None,
        "metrics": types,
        "runners": runners,
        "thresholds": [
            {"metric": m, "expression": e, "observed": o, "passed": p, "k6_passed": p}
            for m, e, o, p in judged
        ],
    }
    return Result(
        run=run,
        seconds=length(runners),
        metrics=[_row(metric, of) for metric, of in values.items()],
        last={metric: of[-1] for metric, of in values.items() if types[metric] == "gauge"},
        checks=[{"group_name": "::g", "check_name": "ok", "passes": 20, "fails": 0}],
    )


def _row(metric: str, values: list[float]) -> dict[str, Any]:
    figures = dict(
        zip(
            ("p50", "p90", "p95", "p99"),
            np.percentile(values, (50, 90, 95, 99)).tolist(),
            strict=True,
        )
    )
    return {
        "metric": metric,
        "n": len(values),
        "sum": sum(values),
        "min": min(values),
        "max": max(values),
        "avg": sum(values) / len(values),
        **figures,
    }


@pytest.mark.parametrize("version", ["1.1.0", "2.0.0"])
def test_the_words_are_k6s_own(version: str) -> None:
    """Each line that k6 printed of this run is in ours: section by section, in k6's order and units."""
    theirs = (DATA / f"k6-{version}" / "stdout.txt").read_text(encoding="utf-8")
    ours = _lines(text(aggregated(version)))
    # The two submetrics are judged with the thresholds, and have no aggregates of their own.
    wanted = [line for line in _lines(theirs) if not line.startswith("{ ")]
    assert len(wanted) > 25
    missing = [line for line in wanted if line not in ours]
    assert missing == []
    assert [line for line in ours if line in wanted] == wanted


def _lines(printed: str) -> list[str]:
    """Without padding: k6 1.1 reckons the width of its dots wrongly."""
    joined = (" ".join(re.sub(r"\.{3,}:", ":", line).split()) for line in printed.splitlines())
    return [line for line in joined if line]


@pytest.mark.parametrize("version", ["0.57.0", "1.1.0", "2.0.0"])
def test_the_figures_are_k6s_own(version: str) -> None:
    """Every figure of k6's --summary-export, by its name, to 1e-9."""
    exported = json.loads((DATA / f"k6-{version}" / "summary.json").read_bytes())["metrics"]
    found = facts(aggregated(version))["metrics"]
    compared = 0
    for metric, figures in exported.items():
        if "{" in metric:
            continue
        for name, value in figures.items():
            if name == "thresholds":
                continue
            kind = found[metric]["type"]
            ours = found[metric]["rate" if (kind, name) == ("rate", "value") else name]
            assert ours == pytest.approx(value, rel=1e-9), (metric, name)
            compared += 1
    assert compared > 80


def test_phases_are_shown_when_asked_for() -> None:
    """As with k6's own full summary."""
    run = aggregated("2.0.0")
    assert "http_req_waiting" not in text(run)
    assert "http_req_waiting" in text(run, full=True)


def test_what_failed_stands_out() -> None:
    """A check that failed has its counts; a run that is not whole says why; nothing steers the terminal."""
    told = text(result(name=HOSTILE, verdict="failed"))
    assert "↳  99% — ✓ 2990 / ✗ 10" in told
    assert "incomplete: <img" in told
    assert "\x1b" not in told
    assert "\u202e" not in told


def test_a_run_without_figures_says_so() -> None:
    """While it goes on there is nothing to sum up."""
    assert "is running: no figures yet" in text(result(empty=True, verdict=None))


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0s"),
        (0.0000009, "0ns"),
        (0.000512, "512ns"),
        (0.99466, "994.66µs"),
        (3.379, "3.37ms"),
        (1900, "1.9s"),
        (59_999, "59.99s"),
        (61_500, "1m1s"),
        (3_723_000, "1h2m3s"),
    ],
)
def test_times_are_written_as_k6_writes_them(milliseconds: float, words: str) -> None:
    """In the unit that suits, cut off after two digits."""
    assert wording.duration(milliseconds) == words


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 B"), (9, "9 B"), (999, "999 B"), (3020, "3.0 kB"), (2.4e7, "24 MB")]
)
def test_sizes_are_written_as_k6_writes_them(n: float, words: str) -> None:
    """By thousands."""
    assert wording.size(n) == words
