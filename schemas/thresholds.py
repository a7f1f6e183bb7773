"""k6 thresholds: what `http_req_duration{name:list}` and `p(95)<500` mean, and whether points satisfy them.

The grammar and the arithmetic are k6's own (`metrics/thresholds_parser.go`, `metrics/thresholds.go` and
`metrics/sink.go` of grafana/k6), with all that it accepts: a threshold must not be judged by other rules
than those of the tool that it was written for.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from schemas.errors import Invalid

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    # In k6's order of search: a longer one first, where a shorter one is its beginning.
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "===": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_METHODS = {
    "counter": {"count", "rate"},
    "gauge": {"value"},
    "rate": {"rate"},
    "trend": {"avg", "min", "max", "med", "p"},
}
_PERCENTILE = re.compile(r"p\((.+)\)")


@dataclass(frozen=True)
class Selection:
    """The points that a threshold looks at: those of a metric that carry all of the tags."""

    metric: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expression:
    """`method` `operator` `limit`; `fraction` (0 to 1) is the percentile of method `p`."""

    method: str
    operator: str
    limit: float
    fraction: float | None = None

    def holds(self, observed: float) -> bool:
        """Whether a value satisfies the expression."""
        return _OPERATORS[self.operator](observed, self.limit)


@dataclass(frozen=True)
class Statistics:
    """What is known of the selected points. Without points n is 0 and the optional ones are None.

    `nonzero` counts values other than 0, `last` is the value of the latest point, `percentiles` maps
    fractions to values interpolated linearly between ranks.
    """

    n: int = 0
    sum: float = 0.0
    min: float | None = None
    max: float | None = None
    nonzero: int = 0
    last: float | None = None
    percentiles: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """What became of one threshold of a run; stored under these names.

    `observed` is None where there was nothing to observe, `passed` where headrace can't read the
    threshold, `k6_passed` where k6 did not tell.
    """

    metric: str
    expression: str
    abort_on_fail: bool
    observed: float | None
    passed: bool | None
    k6_passed: bool | None


def parse_selection(text: str) -> Selection:
    """Read a metric's name with or without tags. Raises Invalid where k6 would refuse it."""
    name, brace, rest = text.partition("{")
    if not brace and "}" not in text:
        return Selection(text)
    if not brace or not rest.endswith("}") or not rest[:-1].strip():
        raise Invalid("bad_metric", f"{text!r} is no metric: write name or name{{tag:value,…}}.")
    tags = {}
    for pair in rest[:-1].split(","):
        key, _, value = pair.partition(":")
        if not value:
            raise Invalid("bad_metric", f"{text!r} has a tag without a value: {pair!r}.")
        tags[_bare(key)] = _bare(value)
    return Selection(name, tags)


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises Invalid where k6 would refuse it."""
    for sign in _OPERATORS:
        left, _, right = text.partition(sign)
        if right:
            method, limit = left.strip(), _number(right.strip(), text)
            percentile = _PERCENTILE.fullmatch(method)
            if percentile is None and any(method in m - {"p"} for m in _METHODS.values()):
                return Expression(method, sign, limit)
            if percentile is not None:
                hundredths = _number(percentile[1], text)
                if 0 <= hundredths <= 100:  # noqa: PLR2004 - per cent
                    return Expression("p", sign, limit, hundredths / 100)
            break
    raise Invalid("bad_threshold", f"{text!r} is no threshold: write for example p(95)<500.")


def kind_of(expression: Expression, declared: str | None) -> str:
    """The metric's type: counter, gauge, rate or trend; guessed from the method if not declared.

    A metric that never got a point is not declared; then both readings of `rate` give the same answer.
    Raises Invalid for a method that the type does not have.
    """
    if declared is None:
        return next(kind for kind in ("rate", *_METHODS) if expression.method in _METHODS[kind])
    if expression.method not in _METHODS.get(declared, ()):
        raise Invalid("bad_threshold", f"A {declared} has no {expression.method}.")
    return declared


def fractions(expressions: Iterable[Expression]) -> list[float]:
    """The percentiles that these expressions ask for, as fractions, ascending."""
    asked = {0.5 if e.method == "med" else e.fraction for e in expressions}
    return sorted(f for f in asked if f is not None)


def observe(
    expression: Expression, kind: str, points: Statistics, seconds: float | None
) -> float | None:
    """The value to compare with the limit; None where k6 has none, and lets the threshold pass.

    `seconds` is the run's duration, for a counter's rate. k6 takes 0 for trends and gauges without points.
    """
    values: dict[str, float] = {}
    match kind:
        case "counter":
            values["count"] = points.sum
            if seconds:
                values["rate"] = points.sum / seconds
        case "rate":
            if points.n:
                values["rate"] = points.nonzero / points.n
        case "gauge":
            values["value"] = points.last or 0.0
        case _:
            values["avg"] = points.sum / points.n if points.n else 0.0
            values["min"] = points.min or 0.0
            values["max"] = points.max or 0.0
            values["med"] = points.percentiles.get(0.5, 0.0)
            values["p"] = points.percentiles.get(expression.fraction or 0.0, 0.0)
    return values.get(expression.method)


def _bare(text: str) -> str:
    return text.strip().strip("\"'")


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise Invalid("bad_threshold", f"{whole!r} has no number where {text!r} stands.")
    return number
