"""Options of the commands that take runs from elsewhere: what k6 would have said and the source does not."""

from collections.abc import Sequence
from typing import Annotated

import typer

from schemas.errors import Permanent
from schemas.k6_metrics import MetricType, as_type

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
