"""The part of PromQL that an alert rule can stand for: one comparison of one series expression with a number.

The grammar is that of Prometheus 3 (`promql/parser` of prometheus/prometheus). What is outside is refused
with the reason, never read as something that is near it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from schemas.durations import parse
from schemas.errors import Invalid
from schemas.rules import Operator

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[-+]?(?:Inf|inf|NaN|nan|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![a-zA-Z_\d]))
    | (?P<range>\[[^\]]*\])
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    | (?P<sign>==|!=|<=|>=|=~|!~|[<>={}(),])
    | (?P<other>\S)
    )""",
    re.VERBOSE | re.ASCII,
)
_FLIPPED: dict[str, Operator] = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_OPERATORS: dict[str, Operator] = {flipped: flipped for flipped in _FLIPPED.values()}
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


def read_comparison(text: str) -> Comparison:
    """Read an alert's expression. Raises Invalid that says what no rule can stand for."""
    try:
        return _read(text)
    except RecursionError as error:
        raise _refused("it is nested too deep") from error


def _read(text: str) -> Comparison:
    parser = _Parser(text)
    left = parser.side()
    operator = parser.take("sign", *_FLIPPED)
    if parser.next == "bool":
        raise _refused("bool makes a number of every series: without it only those that hold alert")
    right = parser.side()
    if parser.kind is not None:
        raise _refused(f"{parser.next!r} follows the comparison: one comparison is all a rule has")
    if isinstance(left, _Side) and isinstance(right, float):
        side, limit, sign = left, right, _OPERATORS[operator]
    elif isinstance(left, float) and isinstance(right, _Side):
        side, limit, sign = right, left, _FLIPPED[operator]
    else:
        raise _refused("a rule compares one series expression with one number")
    return Comparison(
        side.selector.metric,
        side.selector.match,
        side.function,
        side.selector.window,
        side.group_by,
        sign,
        limit,
    )


def _refused(detail: str) -> Invalid:
    return Invalid("not_in_subset", detail)


class _Parser:
    """Reads tokens from the left; `kind` and `next` are the one to come, None and "" at the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.kind: str | None = None
        self.next = ""
        self._advance()

    def _advance(self) -> str:
        taken = self.next
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self.kind, self.next = None, ""
        else:
            self._at = found.end()
            self.kind = found.lastgroup
            self.next = found[found.lastgroup or 0]
        return taken

    def take(self, kind: str, *texts: str) -> str:
        """The next token, of this kind and one of these texts."""
        if self.kind != kind or (texts and self.next not in texts):
            wanted = f"one of {' '.join(texts)}" if texts else f"a {kind}"
            raise _refused(f"{wanted} is wanted where {self.next or 'the end'!r} stands")
        return self._advance()

    def side(self) -> _Side | float:
        """A number, or what is done with a selector."""
        if self.kind == "number":
            return float(self._advance())
        if self.next == "(":
            self._advance()
            inner = self.side()
            self.take("sign", ")")
            return inner
        if self.next == "{":
            raise _refused("a rule needs the name of its metric before the braces")
        name = self.take("name")
        if self.next == "(" or self.next in {"by", "without"}:
            return self._call(name)
        selector = self._selector(name)
        if selector.window is not None:
            raise _refused("a range wants a function around it, as avg_over_time(…)")
        return _Side(selector, "value")

    def _call(self, name: str) -> _Side:
        if name in {"sum", "min", "max", "avg", "count"} or self.next != "(":
            return self._aggregation(name)
        self.take("sign", "(")
        if name == "quantile_over_time":
            fraction = float(self.take("number"))
            self.take("sign", ",")
            if not 0 <= fraction < 1:
                raise _refused("a quantile must be from 0 to below 1")
            function = f"p{round(fraction * 100, 3):g}"
        elif name == "rate":
            function = "rate"
        elif name in _OVER_TIME:
            function = _OVER_TIME[name]
        elif name in {"absent", "absent_over_time"}:
            raise _refused(
                f"{name} alerts of a selector that never had a series: absent_for is of series that were there"
            )
        else:
            raise _refused(f"there is no {name} in rules")
        selector = self._selector(self.take("name"))
        self.take("sign", ")")
        if selector.window is None:
            raise _refused(f"{name} wants a range, as [5m]")
        return _Side(selector, function)

    def _aggregation(self, name: str) -> _Side:
        labels = self._labels() if self.next == "by" else None
        if self.next == "without":
            raise _refused("without: say by which labels instead")
        self.take("sign", "(")
        inner = self.side()
        self.take("sign", ")")
        if labels is None:
            labels = self._labels() if self.next == "by" else ()
        if isinstance(inner, float) or inner.group_by is not None:
            raise _refused(
                f"{name} must be of a function over time, as sum by (x) (sum_over_time(…))"
            )
        if (name, inner.function) not in _TOGETHER:
            raise _refused(
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

    def _selector(self, metric: str) -> _Selector:
        match = []
        if self.next == "{":
            self._advance()
            while self.next != "}":
                label = self.take("name")
                operator = self.take("sign", "=", "!=", "=~", "!~")
                value = unquoted(self.take("string"))
                if value.startswith("~") and operator in {"=", "!="}:
                    raise _refused(
                        f"{label}{operator}{value} would read as a regular expression here"
                    )
                match.append(f"{label}{operator}{value}")
                if self.next != "}":
                    self.take("sign", ",")
            self._advance()
        window = None
        if self.kind == "range":
            text = self._advance()[1:-1].strip()
            if ":" in text:
                raise _refused("a subquery can't be evaluated sample by sample")
            window = _duration(text)
        if self.next in {"offset", "@"}:
            raise _refused(f"{self.next}: a rule looks at what comes in, not at the past")
        return _Selector(metric, tuple(match), window)


def _duration(text: str) -> timedelta:
    try:
        return parse(text)
    except ValueError as error:
        raise _refused(str(error)) from error


def unquoted(text: str) -> str:
    """What a string in quotes says. Raises Invalid for an escape that is none."""
    try:
        return re.sub(r"\\(.)", _escaped, text[1:-1], flags=re.DOTALL)
    except KeyError as error:
        raise _refused(f"the escape \\{error.args[0]} in {text}") from error


def _escaped(found: "re.Match[str]") -> str:
    return {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}[found[1]]
