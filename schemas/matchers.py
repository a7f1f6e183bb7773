"""Matchers of labels, as Prometheus has them: `host=a`, `host!=a`, `host=~web.*`, `host!~web.*`.

A regular expression must match all of a value. It runs in RE2, which takes time in proportion to
the text whatever the pattern is; what a pattern and the values come to is bounded as well.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import Invalid
from schemas.samples import check_labels

MAX_PATTERN = 256
MAX_REPETITIONS = 1_000
"""Product of all counts in a pattern: `(a{10}){10}` has 100."""

_FORM = re.compile(r"([a-zA-Z_][a-zA-Z0-9_.]*)(=~|!~|!=|=)(.*)", re.ASCII | re.DOTALL)
_COUNT = re.compile(r"\{([0-9]{1,9})(?:,([0-9]{0,9}))?\}", re.ASCII)


@dataclass(frozen=True)
class Matcher:
    """What the value of a label must be; a label that a series lacks is empty."""

    key: str
    operator: str
    value: str

    @property
    def is_equality(self) -> bool:
        """Whether only series that have the label, with this value, match."""
        return self.operator == "=" and self.value != ""

    @property
    def is_expression(self) -> bool:
        """Whether the value is a regular expression."""
        return self.operator in {"=~", "!~"}

    def accepted(self, values: Iterable[str]) -> frozenset[str]:
        """Those of the values that match."""
        if not self.is_expression:
            return frozenset(one for one in values if (one == self.value) == (self.operator == "="))
        texts = pa.array(values, pa.string())
        found = pc.match_substring_regex(texts, _whole(self.value))
        if self.operator == "!~":
            found = pc.invert(found)
        return frozenset(texts.filter(found).to_pylist())


class TooMuchWork(Exception):
    """The patterns are too large for so many values."""

    def __init__(self, matcher: Matcher) -> None:
        super().__init__(f"{matcher.key}{matcher.operator}…")


def parse(text: str) -> Matcher:
    """The matcher that a parameter spells. Raises ValueError that says what is wrong with it."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError("must be a label, one of = != =~ !~, and a value, as host=~web.*")
    matcher = Matcher(*form.groups())
    try:
        check_labels({matcher.key: matcher.value})
    except Invalid as error:
        raise ValueError(str(error)) from error
    if matcher.is_expression:
        _check_pattern(matcher.value)
    return matcher


def matching(
    matchers: Sequence[Matcher], labels: Sequence[Mapping[str, str]], *, most_work: float = math.inf
) -> list[bool]:
    """Whether each of these label sets satisfies all matchers.

    Raises TooMuchWork when that is more than `most_work` characters times the size of patterns.
    """
    found = [True] * len(labels)
    work = 0
    for matcher in matchers:
        values = [one.get(matcher.key, "") for one in labels]
        distinct = set(values)
        if matcher.is_expression:
            work += _size(matcher.value) * sum(map(len, distinct))
        if work > most_work:
            raise TooMuchWork(matcher)
        accepted = matcher.accepted(distinct)
        found = [was and value in accepted for was, value in zip(found, values, strict=True)]
    return found


def _check_pattern(pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"has a pattern of {len(pattern)} characters; at most {MAX_PATTERN}")
    if _repetitions(pattern) > MAX_REPETITIONS:
        raise ValueError(f"repeats more than {MAX_REPETITIONS} times, all counts multiplied")
    try:
        # Alone first: in brackets, `a)(b` would be a pattern.
        for spelt in (pattern, _whole(pattern)):
            pc.match_substring_regex(pa.array([""]), spelt)
    except pa.ArrowInvalid as error:
        reason = str(error).partition("\n")[0].removeprefix("Invalid regular expression: ")
        raise ValueError(f"has a pattern that RE2 refuses: {reason}") from error


def _whole(pattern: str) -> str:
    return rf"\A(?s:{pattern})\z"


def _repetitions(pattern: str) -> int:
    return prod(max(1, int(most or least)) for least, most in _COUNT.findall(pattern))


def _size(pattern: str) -> int:
    return (len(pattern) + 1) * _repetitions(pattern)
