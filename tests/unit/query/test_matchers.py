"""Matchers of labels."""

import re

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from query.matchers import matching
from schemas.matchers import parse

HOSTS = [{"host": "web-1"}, {"host": "web-2"}, {"host": "db"}, {"host": ""}, {}, {"Host": "web-1"}]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("host=db", [False, False, True, False, False, False]),
        ("host=", [False, False, False, True, True, True]),
        ("host!=db", [True, True, False, True, True, True]),
        ("host!=", [True, True, True, False, False, False]),
        ("host=~web.*", [True, True, False, False, False, False]),
        ("host=~web", [False] * 6),
        ("host=~web-1|db", [True, False, True, False, False, False]),
        ("host=~(?i)WEB-1", [True, False, False, False, False, False]),
        ("host!~web.*", [False, False, True, True, True, True]),
        ("host=~.+", [True, True, True, False, False, False]),
        ("host=~", [False, False, False, True, True, True]),
        ("host==~a", [False] * 6),
        ("host=!~a", [False] * 6),
    ],
)
def test_matchers_are_those_of_prometheus(text: str, found: list[bool]) -> None:
    """A missing label is empty, an expression must match all of a value."""
    assert matching([parse(text)], HOSTS) == found


def test_all_matchers_must_hold() -> None:
    """Several narrow, also several of one label."""
    matchers = [parse("host=~web.*"), parse("host!=web-2")]
    assert matching(matchers, HOSTS) == [True, *[False] * 5]


@given(
    st.lists(st.text("ab\n.é€", max_size=6), min_size=1, max_size=8),
    st.text("ab.|*+?()é", max_size=6),
)
def test_expressions_mean_what_they_mean_elsewhere(values: list[str], pattern: str) -> None:
    """Where both take a pattern, RE2 and Python agree on what all of a value matches."""
    try:
        expected = re.compile(pattern, re.DOTALL)
        matcher = parse(f"k=~{pattern}")
    except (re.error, ValueError):
        return
    found = matching([matcher], [{"k": value} for value in values])
    assert found == [expected.fullmatch(value) is not None for value in values]


@pytest.mark.parametrize(
    "text",
    [
        "host",
        "host~a",
        "9host=a",
        "ho st=a",
        "=a",
        "host=a\0",
        "host=\ud800",
        f"host={'é' * 600}",
        "host=~(",
        "host=~a{9999}",
        "host=~(a{40}){40}",
        "host=~a)|(b",
        "host=~\\",
        "host=~(?P<n",
        "host=~[[:alfa:]]",
        f"host=~{'a' * 257}",
        "host!~*",
    ],
)
def test_what_is_no_matcher_is_refused_with_a_reason(text: str) -> None:
    """Bad spelling and bad expressions are told apart before anything is read."""
    with pytest.raises(ValueError, match=r"must|pattern|repeats|holds|has"):
        parse(text)


@given(st.text(max_size=300))
def test_no_text_is_an_error_of_another_kind(text: str) -> None:
    """Whatever stands in the parameter: a matcher, or a ValueError."""
    try:
        matcher = parse(text)
    except ValueError:
        return
    assert matching([matcher], [{matcher.key: matcher.value}]) in ([True], [False])


def test_too_much_work_is_refused() -> None:
    """A pattern and values that would keep a core busy are the caller's to narrow."""
    labels = [{"host": "ab" * 500 + str(number)} for number in range(2000)]
    with pytest.raises(RequestValidationError, match="too much work"):
        matching([parse("host=~(.{1,10}a.{1,10}b){1,9}c")], labels)
    assert not any(matching([parse("host=~(x+x+)+y")], labels))
