"""Label matchers of a request: what is too much work for one is the request's error."""

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
    try:
        return matchers.matching(asked, labels, most_work=MAX_WORK)
    except matchers.TooMuchWork as error:
        raise bad_parameter(
            "match", f"{error} is too much work: narrow with label, or simplify"
        ) from error
