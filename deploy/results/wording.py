"""Writes figures as k6 does: 3.37ms, 12 kB, 66.66%. k6 cuts digits off and does not round (summary.js)."""

import math
from collections.abc import Mapping

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_MILLISECOND, _SECOND, _MINUTE = 1.0, 1000.0, 60_000.0
_TIMES = (
    "http_req_",
    "group_duration",
    "iteration_duration",
    "grpc_req_duration",
    "ws_",
    "browser_",
)
_NO_TIMES = ("http_reqs", "http_req_failed", "browser_http_req_failed", "ws_msgs", "ws_sessions")


def is_time(metric: str) -> bool:
    """Whether a trend's values are milliseconds; of a script's own trends only the name can tell."""
    if metric.startswith(_NO_TIMES):
        return False
    return metric.startswith(_TIMES) or metric.endswith(("_duration", "_time", "_ms"))


def value(metric: str, kind: str, number: float) -> str:
    """A metric's value; `kind` is k6's type."""
    if kind == "rate":
        return share(number)
    if metric in {"data_sent", "data_received"}:
        return size(number)
    if kind == "trend" and is_time(metric):
        return duration(number)
    return plain(number, 6)


def share(number: float) -> str:
    """A share of 1 in per cent."""
    return f"{math.trunc(number * 10_000) / 100:.2f}%"


def duration(ms: float) -> str:
    """A time in milliseconds, in the unit that suits it."""
    if ms == 0:
        return "0s"
    if ms < _MILLISECOND / 1000:
        return f"{math.trunc(ms * 1_000_000)}ns"
    if ms < _MILLISECOND:
        return f"{_cut(ms * 1000)}µs"
    if ms < _SECOND:
        return f"{_cut(ms)}ms"
    text = f"{_cut(ms % _MINUTE / _SECOND, 0 if ms > _MINUTE else 2)}s"
    minutes = math.trunc(ms / _MINUTE)
    if minutes:
        text = f"{minutes % 60}m{text}"
    return f"{minutes // 60}h{text}" if minutes >= 60 else text  # noqa: PLR2004 - of an hour


def size(n: float) -> str:
    """A number of bytes."""
    if n < 10:  # noqa: PLR2004 - as k6 has it
        return f"{plain(n, 6)} B"
    power = min(len(_UNITS) - 1, math.floor(math.log(n) / math.log(1000)))
    scaled = math.floor(n / 1000**power * 10 + 0.5) / 10
    return f"{scaled:.{1 if scaled < 10 else 0}f} {_UNITS[power]}"  # noqa: PLR2004 - as k6 has it


def plain(number: float, digits: int) -> str:
    """A number with at most so many digits after the point."""
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def clean(text: str) -> str:
    """A script's text, without what would steer a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def endpoint(of: Mapping[str, str | None]) -> str:
    """An endpoint's name, with method and status where it has them."""
    return " ".join(part for part in (of["method"], of["name"], of["status"]) if part)


def _cut(number: float, digits: int = 2) -> str:
    return plain(math.trunc(number * 10**digits) / 10**digits, digits)
