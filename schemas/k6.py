"""What k6 writes: the lines of `--out json`, and the verdicts of its summary.

The lines are the same from k6 0.5x to 2.x. A `Metric` line comes once, before or between its points; it
carries the metric's own thresholds, and its submetrics without theirs: those only the summary tells.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec

from schemas.errors import Invalid
from schemas.runs import Threshold
from schemas.thresholds import parse_selection


class PointData(msgspec.Struct, gc=False):
    """`tags` stays raw: its bytes become the sample's labels as they are."""

    time: str
    value: float
    tags: msgspec.Raw = msgspec.Raw(b"{}")


class Point(msgspec.Struct, gc=False):
    """A measured value. The literal makes a whole block fail fast when another kind of line is in it."""

    metric: str
    type: Literal["Point"]
    data: PointData


class ThresholdObject(msgspec.Struct):
    """A threshold that aborts the test; the others are written as their bare expression."""

    threshold: str
    abort_on_fail: bool = msgspec.field(name="abortOnFail", default=False)


class Submetric(msgspec.Struct):
    """Points of a metric with certain tags, which a threshold asks for."""

    tags: dict[str, str] | None = None


class MetricData(msgspec.Struct):
    """A metric's declaration. `type` is counter, gauge, rate or trend."""

    type: str
    thresholds: list[str | ThresholdObject] | None = None
    submetrics: list[Submetric] | None = None


class Metric(msgspec.Struct):
    """The line that declares a metric."""

    metric: str
    type: Literal["Metric"]
    data: MetricData

    def thresholds(self) -> list[Threshold]:
        """The metric's own thresholds, without verdicts."""
        return declared({self.metric: self.data.thresholds or []})

    def named_urls(self) -> list[str]:
        """Values of `name` and `url` that thresholds select points by."""
        return [
            value
            for one in self.data.submetrics or []
            for key, value in (one.tags or {}).items()
            if key in {"name", "url"}
        ]


decode_points = msgspec.json.Decoder(Point).decode_lines
"""A block of whole lines to its points; raises `msgspec.DecodeError` if one line is anything else."""

decode_point = msgspec.json.Decoder(Point).decode
decode_metric = msgspec.json.Decoder(Metric).decode
_decode_thresholds = msgspec.json.Decoder(dict[str, list[str | ThresholdObject]]).decode


def declared(thresholds: Mapping[str, Iterable[str | ThresholdObject]]) -> list[Threshold]:
    """Thresholds by metric, as a script's options or a `Metric` line state them."""
    return [
        Threshold(metric=metric, expression=one)
        if isinstance(one, str)
        else Threshold(metric=metric, expression=one.threshold, abort_on_fail=one.abort_on_fail)
        for metric, several in thresholds.items()
        for one in several
    ]


def inspected(thresholds: object) -> list[Threshold]:
    """Thresholds of `k6 inspect`'s options. Raises `msgspec.DecodeError` for another shape."""
    return declared(_decode_thresholds(msgspec.json.encode(thresholds or {})))


def verdicts(summary: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    """Whether each (metric, expression) of a `--summary-export` document passed.

    The document's boolean is true where the threshold was **crossed**: the reverse of the `ok` that
    `handleSummary` sees. So it is in 0.57, 1.1 and 2.0. Documents of other shapes have no verdicts.
    """
    metrics = summary.get("metrics")
    found = {}
    for metric, body in metrics.items() if isinstance(metrics, Mapping) else ():
        thresholds = body.get("thresholds") if isinstance(body, Mapping) else None
        for expression, verdict in thresholds.items() if isinstance(thresholds, Mapping) else ():
            if isinstance(verdict, bool):
                found[metric, expression] = not verdict
            elif isinstance(verdict, Mapping) and isinstance(verdict.get("ok"), bool):
                found[metric, expression] = verdict["ok"]
    return found


def named_urls(summary: Mapping[str, Any] | None) -> list[str]:
    """Values of `name` and `url` by which the thresholds of a summary select points."""
    found = []
    for metric, _ in verdicts(summary or {}):
        with suppress(Invalid):
            tags = dict(parse_selection(metric).tags)
            found += [tags[key] for key in ("name", "url") if key in tags]
    return found


def judged(stated: Iterable[Threshold], summary: Mapping[str, Any] | None) -> list[Threshold]:
    """The stated thresholds with k6's verdicts, and those that only the summary knows; each once."""
    passed = verdicts(summary or {})
    by_key = {(one.metric, one.expression): one for one in stated}
    for metric, expression in passed.keys() - by_key.keys():
        by_key[metric, expression] = Threshold(metric=metric, expression=expression)
    return [
        one.model_copy(update={"k6_passed": passed.get(key)}) for key, one in sorted(by_key.items())
    ]


def seconds_tested(summary: object) -> float | None:
    """How long the test proper took, without its start and end: what k6 divides counters by.

    A counter's count over its rate, in a `--summary-export` document; None in one of another shape.
    """
    # Matched, not indexed: a summary of another shape must not stop the run it came with.
    match summary:
        case {"metrics": {**metrics}}:
            for metric in metrics.values():
                match metric:
                    case {"count": int() | float() as count, "rate": int() | float() as rate} if (
                        rate
                    ):
                        return count / rate
    return None
