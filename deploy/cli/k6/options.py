"""Options of more than one k6 command: whose run it is, and what a source can not say for itself."""

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from schemas.errors import Permanent
from schemas.k6_metrics import MetricType, as_type

ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_API_KEY",
        help="Whose run this is. Without it, the local stack's own tenant.",
        show_envvar=True,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="KEY=VALUE", help="A tag of the whole run, to find it by; repeatable."
    ),
]
KeepRaw = Annotated[bool, typer.Option("--keep-raw", help="Keep the points after aggregation.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME=TYPE",
        help="Type of a custom metric: counter, gauge, rate or trend; repeatable. k6's own are known; "
        "any other counts as a trend, of which everything is kept.",
    ),
]


def tags(given: Sequence[str] | None) -> dict[str, str]:
    """KEY=VALUE as a mapping. Raises Permanent."""
    return dict(_pair("--tag", one) for one in given or ())


def metric_types(given: Sequence[str] | None) -> dict[str, MetricType]:
    """NAME=TYPE as a mapping. Raises Permanent."""
    types = {}
    for one in given or ():
        name, text = _pair("--metric", one)
        if (found := as_type(text)) is None:
            raise Permanent(f"--metric {one}: a type is counter, gauge, rate or trend.")
        types[name] = found
    return types


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise Permanent(f"{option} {text}: write {option} key=value.")
    return key, value


def seconds(option: str, text: str) -> float:
    """A duration such as 500ms, 30s, 5m or 1h30m in seconds. Raises Permanent."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text, re.ASCII)
    found = sum(float(number) * units[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not found:
        raise Permanent(f"{option} {text}: write a duration such as 30s or 5m.")
    return found
