"""Tries matchers of labels on series, within what one request may cost."""

from collections.abc import Mapping, Sequence

from query.problems import bad_parameter
from schemas import matchers
from schemas.matchers import Matcher

MAX_WORK = 500_000_000
"""Characters of values times the size of the patterns: a fraction of a second."""


def matching(asked: Sequence[Matcher], labels: Sequence[Mapping[str, str]]) -> list[bool]:
    """Whether each of these label sets satisfies all matchers.

    Raises a validation error when that is too much work for one request.
    """
    work = 0
    for matcher in asked:
        work += matcher.cost({one.get(matcher.key, "") for one in labels})
        if work > MAX_WORK:
            raise bad_parameter(
                "match",
                f"{matcher.key}{matcher.operator}… is too much work: narrow with label, or simplify",
            )
    return matchers.matching(asked, labels)
