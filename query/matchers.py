"""Tries matchers of labels on series, within what one request may cost."""

from collections.abc import Sequence

from query.problems import bad_parameter
from schemas.matchers import Matcher

MAX_WORK = 500_000_000
"""Characters of values times the size of the patterns: a fraction of a second."""


def matching(matchers: Sequence[Matcher], labels: Sequence[dict[str, str]]) -> list[bool]:
    """Whether each of these label sets satisfies all matchers.

    Raises a validation error when that is too much work for one request.
    """
    found = [True] * len(labels)
    work = 0
    for matcher in matchers:
        values = [one.get(matcher.key, "") for one in labels]
        distinct = set(values)
        work += matcher.cost(distinct)
        if work > MAX_WORK:
            raise bad_parameter(
                "match",
                f"{matcher.key}{matcher.operator}… is too much work: narrow with label, or simplify",
            )
        accepted = matcher.accepted(distinct)
        found = [was and value in accepted for was, value in zip(found, values, strict=True)]
    return found
