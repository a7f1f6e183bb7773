"""k6's thresholds are read and computed as k6 does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Invalid
from schemas.thresholds import (
    Expression,
    Selection,
    Statistics,
    fractions,
    kind_of,
    observe,
    parse_expression,
    parse_selection,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p(95)<500", Expression("p", "<", 500, 0.95)),
        ("p(99.9) <= 1500.5", Expression("p", "<=", 1500.5, 0.999)),
        ("p(0)>0", Expression("p", ">", 0, 0.0)),
        ("avg<300", Expression("avg", "<", 300)),
        ("rate<0.01", Expression("rate", "<", 0.01)),
        ("rate===1", Expression("rate", "===", 1)),
        ("count>100", Expression("count", ">", 100)),
        ("count != 0", Expression("count", "!=", 0)),
        ("value==3", Expression("value", "==", 3)),
        (" med >= 1e3 ", Expression("med", ">=", 1000)),
        ("min>-1", Expression("min", ">", -1)),
        ("max<1", Expression("max", "<", 1)),
    ],
)
def test_expressions_are_read(text: str, expected: Expression) -> None:
    """Each aggregation and each operator is understood, with or without spaces."""
    found = parse_expression(text)
    assert (found.method, found.operator, found.limit) == (
        expected.method,
        expected.operator,
        expected.limit,
    )
    assert found.fraction == pytest.approx(expected.fraction)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p(95)",
        "p(95)<",
        "p95<500",
        "p(101)<1",
        "p(-1)<1",
        "p(x)<1",
        "p<1",
        "avg<x",
        "sum<1",
        "avg<nan",
    ],
)
def test_what_k6_refuses_is_invalid(text: str) -> None:
    """An expression that k6 would refuse is refused."""
    with pytest.raises(Invalid):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http_req_duration", Selection("http_req_duration")),
        ("http_req_duration{name:list}", Selection("http_req_duration", {"name": "list"})),
        ("d{name:list, status:200}", Selection("d", {"name": "list", "status": "200"})),
        ("d{ 'name' : \"a b\" }", Selection("d", {"name": "a b"})),
        ("d{url:http://h/x}", Selection("d", {"url": "http://h/x"})),
        ("d{group:::g::h}", Selection("d", {"group": "::g::h"})),
    ],
)
def test_submetrics_select_by_tags(text: str, expected: Selection) -> None:
    """Tags are split at commas and at their first colon; spaces and quotes around them don't count."""
    assert parse_selection(text) == expected


@pytest.mark.parametrize("text", ["d{", "d}", "d{}", "d{a}", "d{a:}", "d{a:1}x", "d}a{"])
def test_malformed_metrics_are_invalid(text: str) -> None:
    """A selector that k6 would refuse is refused."""
    with pytest.raises(Invalid):
        parse_selection(text)


POINTS = Statistics(
    n=4, sum=20.0, min=2.0, max=9.0, nonzero=3, last=7.0, percentiles={0.5: 4.5, 0.95: 8.7}
)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("count>1", "counter", 20.0),
        ("rate>1", "counter", 2.0),
        ("rate<1", "rate", 0.75),
        ("value<1", "gauge", 7.0),
        ("avg<1", "trend", 5.0),
        ("min<1", "trend", 2.0),
        ("max<1", "trend", 9.0),
        ("med<1", "trend", 4.5),
        ("p(95)<1", "trend", 8.7),
    ],
)
def test_values_follow_the_metrics_type(text: str, kind: str, expected: float) -> None:
    """A rate is a share for rate metrics and per second for counters; the others are what they say."""
    assert observe(parse_expression(text), kind, POINTS, seconds=10) == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("count<1", "counter", 0.0),
        ("rate<1", "rate", None),
        ("value<1", "gauge", 0.0),
        ("avg<1", "trend", 0.0),
        ("p(95)<1", "trend", 0.0),
    ],
)
def test_without_points_the_value_is_k6s(text: str, kind: str, expected: float | None) -> None:
    """A metric without points counts as 0, except that a rate then has no value."""
    assert observe(parse_expression(text), kind, Statistics(), seconds=10) == expected


def test_a_counters_rate_needs_a_duration() -> None:
    """Without a duration there is no rate per second to compare."""
    assert observe(parse_expression("rate>1"), "counter", POINTS, seconds=None) is None


def test_the_type_of_a_metric_without_points_is_guessed() -> None:
    """A metric that never got a point has no declared type; its method tells enough of it."""
    guesses = {
        m: kind_of(parse_expression(f"{m}<1"), None) for m in ("rate", "count", "value", "med")
    }
    assert guesses == {"rate": "rate", "count": "counter", "value": "gauge", "med": "trend"}


def test_a_method_must_fit_the_declared_type() -> None:
    """A percentile of a counter is refused."""
    with pytest.raises(Invalid):
        kind_of(parse_expression("p(95)<1"), "counter")


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_operators_compare_observed_with_limit(observed: float, limit: float) -> None:
    """An expression holds when the observed value stands on the stated side of the limit."""
    assert Expression("avg", "<", limit).holds(observed) == (observed < limit)
    assert Expression("avg", ">=", limit).holds(observed) == (observed >= limit)
    assert Expression("avg", "!=", limit).holds(observed) != Expression("avg", "==", limit).holds(
        observed
    )


def test_only_the_percentiles_asked_for_are_computed() -> None:
    """The median is one of them; other methods need none."""
    asked = [parse_expression(t) for t in ("p(95)<1", "med<1", "avg<1", "p(50)<2", "p(99)<1")]
    assert fractions(asked) == [0.5, 0.95, 0.99]
