"""Types of metrics where the format has none: from a person, the summary, k6 itself, and else a trend."""

import json

import pytest

from schemas.k6 import named_urls
from schemas.k6_metrics import MetricTypes, as_type, summarised
from tests.unit.k6.test_lines import VERSIONS, lines_of, read, summary_of


@pytest.mark.parametrize("version", VERSIONS)
def test_a_summary_tells_the_types_that_k6_declared(version: str) -> None:
    """By its shape alone, for custom metrics too; what it leaves out k6's own registry has."""
    declared = read([lines_of(version)])[0].metrics
    found = summarised(summary_of(version))
    assert {name: found[name] for name in declared} == declared
    own = {
        name for name in declared if name not in {"custom_create_duration", "my_count", "my_rate"}
    }
    assert {name: MetricTypes().of(name) for name in own} == {name: declared[name] for name in own}


def test_a_trend_may_show_any_statistics() -> None:
    """`summaryTrendStats` chooses them; what handleSummary wrote says the type itself."""
    metrics = {
        "a": {"count": 5},
        "b": {"min": 1, "max": 2},
        "c": {"value": 1, "min": 1, "max": 2},
        "d": {"type": "gauge", "values": {"value": 1}},
        "e": {"thresholds": {"avg<1": False}, "avg": 2},
        "a{x:y}": {"value": 1},
        "f": "nonsense",
    }
    assert summarised({"metrics": metrics}) == {
        "a": "trend", "b": "trend", "c": "gauge", "d": "gauge", "e": "trend",
    }  # fmt: skip
    assert summarised(json.loads('{"metrics": [1]}')) == {}


def test_what_a_person_says_comes_first() -> None:
    """Before the summary and before k6; what nobody knows is a trend."""
    summary = {"metrics": {"mine": {"value": 1}}}
    types = MetricTypes(summary, {"mine": "rate", "vus": "trend"})
    assert (types.of("mine"), types.of("vus"), types.of("vus_max")) == ("rate", "trend", "gauge")
    assert types.of("nobodys") == "trend"
    assert (as_type("rate"), as_type("ratio")) == ("rate", None)


def test_urls_that_thresholds_name_are_known_from_the_summary() -> None:
    """CSV does not declare submetrics: folded, such a URL would leave its threshold without points."""
    thresholds = {"thresholds": {"avg<1": False}}
    metrics = {
        "m{name:http://a/1?x=y}": thresholds,
        "m{url:http://b/2,status:200}": thresholds,
        "m{name:http://c/3}": {"avg": 1},
        "m{broken": thresholds,
    }
    assert named_urls({"metrics": metrics}) == ["http://a/1?x=y", "http://b/2"]
    assert named_urls(None) == []
