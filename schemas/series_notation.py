"""Series as promtool's test files write them: `up{job="a"}`, and values such as `1 _ 2+0.5x10`."""

import math
import re
from collections.abc import Iterator

from schemas.errors import Invalid
from schemas.promql_tokens import unquoted

MOST = 1_000_000
"""Values of a series."""

_SERIES = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s*", re.ASCII | re.DOTALL)
_LABEL = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_.]*)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(?:,\s*|$)""",
    re.ASCII | re.DOTALL,
)
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_VALUE = re.compile(rf"([-+]?{_NUMBER})(?:([-+]{_NUMBER})?x(\d+))?", re.ASCII)
_GAP = re.compile(r"_(?:x(\d+))?", re.ASCII)


def read_series(text: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a series. Raises Invalid."""
    found = _SERIES.fullmatch(text)
    if found is None:
        raise Invalid("bad_series", f"{text!r} is no series: write it as up{{job='a'}}")
    name, inside, at = found[1], found[2] or "", 0
    labels: dict[str, str] = {}
    while at < len(inside):
        label = _LABEL.match(inside, at)
        if label is None or label[1] in labels:
            raise Invalid("bad_series", f"{text!r}: {inside[at:]!r} is no label, or one twice")
        labels[label[1]] = unquoted(label[2])
        at = label.end()
    return name, labels


def read_values(text: str) -> list[float | None]:
    """The values, one an interval; None where there is no sample. Raises Invalid.

    `a+bxn` is a, a+b, … a+n*b and `axn` is n + 1 times a, as in promtool.
    """
    found: list[float | None] = []
    for word in text.split():
        found.extend(_word(word))
        if len(found) > MOST:
            raise Invalid("bad_series", f"more than {MOST:,} values")
    return found


def _word(word: str) -> Iterator[float | None]:
    if word == "stale":
        raise Invalid(
            "bad_series",
            "stale: samples here are never marked so; write _ for as long as it is silent",
        )
    if gap := _GAP.fullmatch(word):
        return iter([None] * _count(gap[1] or "1"))
    value = _VALUE.fullmatch(word)
    if value is None:
        raise Invalid("bad_series", f"{word!r} is no value: write 1, -1.5, 1+2x10, 5x10, _ or _x5")
    start, step, times = float(value[1]), float(value[2] or 0), _count(value[3] or "0")
    if not math.isfinite(start + step * times):
        raise Invalid("bad_series", f"{word!r} is not finite")
    return (start + step * n for n in range(times + 1))


def _count(digits: str) -> int:
    if len(digits) > len(str(MOST)):
        raise Invalid("bad_series", f"more than {MOST:,} values")
    return int(digits)
