"""The part of PromQL that an alert rule can stand for: one comparison of a series expression with a number.

The grammar is that of Prometheus 3 (`promql/parser` of prometheus/prometheus). What is outside is refused
with the reason, never read as something that is near it.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from schemas.durations import parse
from schemas.promql_tokens import Tokens, refused, unquoted
from schemas.rules import Operator

_FLIPPED: dict[str, Operator] = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_OPERATORS: dict[str, Operator] = {flipped: flipped for flipped in _FLIPPED.values()}
_ARITHMETIC: dict[str, Callable[[float, float], float | complex]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": math.fmod,
    "^": operator.pow,
}
_OVER_TIME = {f"{name}_over_time": name for name in ("avg", "min", "max", "sum", "count")}
_TOGETHER = {("max", "max"), ("min", "min"), ("sum", "sum"), ("sum", "count"), ("sum", "rate")}
"""Aggregation over series and over time that come to one over all samples of the group."""


@dataclass(frozen=True)
class Comparison:
    """What is compared with what. `group_by` is None where each series stands for itself."""

    metric: str
    match: tuple[str, ...]
    function: str
    window: timedelta | None
    group_by: tuple[str, ...] | None
    operator: Operator
    limit: float
    by_second: bool = False
    """Whether the value is by the second where the expression's is of the whole window, and the limit with it."""


@dataclass(frozen=True)
class _Selector:
    metric: str
    match: tuple[str, ...]
    window: timedelta | None


@dataclass(frozen=True)
class _Side:
    selector: _Selector
    function: str
    group_by: tuple[str, ...] | None = None
    by_second: bool = False


def read_comparison(text: str) -> Comparison:
    """Read an alert's expression. Raises Invalid that says what no rule can stand for."""
    try:
        return _read(text)
    except RecursionError as error:
        raise refused("it is nested too deep") from error


def _read(text: str) -> Comparison:
    parser = _Parser(text)
    left = parser.side()
    compared = parser.take("sign", *_FLIPPED)
    if parser.next == "bool":
        raise refused("bool makes a number of every series: without it only those that hold alert")
    right = parser.side()
    if parser.kind is not None:
        raise refused(f"{parser.next!r} follows the comparison: one comparison is all a rule has")
    if isinstance(left, _Side) and isinstance(right, float):
        side, limit, sign = left, right, _OPERATORS[compared]
    elif isinstance(left, float) and isinstance(right, _Side):
        side, limit, sign = right, left, _FLIPPED[compared]
    else:
        raise refused("a rule compares one series expression with one number")
    if side.by_second and side.selector.window is not None:
        # The engine divides the increase by the window last of all: what is equal stays equal.
        limit /= side.selector.window.total_seconds()
    return Comparison(
        side.selector.metric,
        side.selector.match,
        side.function,
        side.selector.window,
        side.group_by,
        sign,
        limit,
        side.by_second,
    )


class _Parser(Tokens):
    """Reads an expression."""

    def side(self) -> _Side | float:
        """A number, which may be reckoned out of others, or what is done with a selector."""
        return self._reckoned(self._product, "+", "-")

    def _product(self) -> _Side | float:
        return self._reckoned(self._signed, "*", "/", "%")

    def _signed(self) -> _Side | float:
        if self.kind != "sign" or self.next not in {"+", "-"}:
            return self._power()
        sign = self._advance()
        number = _number(self._signed())
        return -number if sign == "-" else number

    def _power(self) -> _Side | float:
        base = self._operand()
        if isinstance(base, _Side) or self.next != "^":
            return base
        self._advance()
        # From the right: 2 ^ 3 ^ 2 is 2 ^ 9; and a sign may stand before what is raised to.
        return _figure(base, "^", _number(self._signed()))

    def _reckoned(self, operand: Callable[[], _Side | float], *operators: str) -> _Side | float:
        found = operand()
        while isinstance(found, float) and self.kind == "sign" and self.next in operators:
            found = _figure(found, self._advance(), _number(operand()))
        return found

    def _operand(self) -> _Side | float:
        if self.kind == "number":
            return float(self._advance())
        if self.next == "(":
            self._advance()
            inner = self.side()
            self.take("sign", ")")
            return inner
        name = None if self.next == "{" else self.take("name")
        if name is not None and (self.next == "(" or self.next in {"by", "without"}):
            return self._call(name)
        selector = self._selector(name)
        if selector.window is not None:
            raise refused("a range wants a function around it, as avg_over_time(…)")
        return _Side(selector, "value")

    def _call(self, name: str) -> _Side:
        if name in {"sum", "min", "max", "avg", "count"} or self.next != "(":
            return self._aggregation(name)
        self.take("sign", "(")
        if name == "quantile_over_time":
            fraction = float(self.take("number"))
            self.take("sign", ",")
            if not 0 <= fraction < 1:
                raise refused("a quantile must be from 0 to below 1")
            function = f"p{round(fraction * 100, 3):g}"
        elif name in {"rate", "increase"}:
            function = "rate"
        elif name in _OVER_TIME:
            function = _OVER_TIME[name]
        elif name in {"absent", "absent_over_time"}:
            raise refused(
                f"{name} alerts of a selector that never had a series: absent_for is of series that were there"
            )
        else:
            raise refused(f"there is no {name} in rules")
        selector = self._selector(None if self.next == "{" else self.take("name"))
        self.take("sign", ")")
        if selector.window is None:
            raise refused(f"{name} wants a range, as [5m]")
        return _Side(selector, function, by_second=name == "increase")

    def _aggregation(self, name: str) -> _Side:
        labels = self._labels() if self.next == "by" else None
        if self.next == "without":
            raise refused("without: say by which labels instead")
        self.take("sign", "(")
        inner = self.side()
        self.take("sign", ")")
        if labels is None:
            labels = self._labels() if self.next == "by" else ()
        if isinstance(inner, float) or inner.group_by is not None:
            raise refused(
                f"{name} must be of a function over time, as sum by (x) (sum_over_time(…))"
            )
        if inner.by_second:
            raise refused(
                f"{name} of increase: rates are added up here, which may differ in the last digit; write rate, "
                "and divide the number by the window's seconds"
            )
        if (name, inner.function) not in _TOGETHER:
            raise refused(
                f"{name} of {inner.function} over time is not what group_by does: it takes all samples of a "
                "group together, as max of max, min of min, sum of sum, count or rate"
            )
        return _Side(inner.selector, inner.function, labels)

    def _labels(self) -> tuple[str, ...]:
        self.take("name", "by")
        self.take("sign", "(")
        found = []
        while self.next != ")":
            found.append(self.take("name"))
            if self.next != ")":
                self.take("sign", ",")
        self.take("sign", ")")
        return tuple(found)

    def _matchers(self, metric: str | None) -> tuple[str, tuple[str, ...]]:
        """What stands in braces, if anything does: the metric, which may be among it, and the rest."""
        match = []
        if self.next == "{":
            self._advance()
            while self.next != "}":
                label = self.take("name")
                sign = self.take("sign", "=", "!=", "=~", "!~")
                value = unquoted(self.take("string"))
                if label == "__name__":
                    if sign != "=" or metric is not None:
                        raise refused(
                            "a rule watches one metric: __name__ must be = its name, once"
                        )
                    metric = value
                elif value.startswith("~") and sign in {"=", "!="}:
                    raise refused(f"{label}{sign}{value} would read as a regular expression here")
                else:
                    match.append(f"{label}{sign}{value}")
                if self.next != "}":
                    self.take("sign", ",")
            self._advance()
        if metric is None:
            raise refused(
                'a rule needs the name of its metric, before the braces or as __name__="…"'
            )
        return metric, tuple(match)

    def _selector(self, named: str | None) -> _Selector:
        metric, match = self._matchers(named)
        window = None
        if self.kind == "range":
            text = self._advance()[1:-1].strip()
            if ":" in text:
                raise refused("a subquery can't be evaluated sample by sample")
            window = _duration(text)
        if self.next in {"offset", "@"}:
            raise refused(f"{self.next}: a rule looks at what comes in, not at the past")
        return _Selector(metric, match, window)


def _number(found: _Side | float) -> float:
    if isinstance(found, _Side):
        raise refused("arithmetic is for numbers: a rule compares a series as it is")
    return found


def _figure(left: float, operator: str, right: float) -> float:
    try:
        found = _ARITHMETIC[operator](left, right)
    except (ArithmeticError, ValueError) as error:
        raise refused(f"{left:g} {operator} {right:g} is no number") from error
    if isinstance(found, complex):
        raise refused(f"{left:g} {operator} {right:g} is no number")
    return found


def _duration(text: str) -> timedelta:
    try:
        return parse(text)
    except ValueError as error:
        raise refused(str(error)) from error
