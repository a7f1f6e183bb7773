"""What a request may ask: query parameters, their limits and defaults."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from query.problems import bad_parameter
from schemas import definitions, matchers
from schemas.errors import Invalid
from schemas.samples import LABEL_KEY, check_labels

MAX_LIMIT = 10_000
MAX_BUCKETS = 11_000
"""As Prometheus has it: enough for a point a pixel on any screen."""

MAX_POINTS = 110_000
"""Of all groups together: ten of the longest series."""
MAX_MATCHERS = 16
MAX_BY = 8

_DEFAULT_RANGE = timedelta(hours=1)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2262, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _not_a_number(text: object) -> object:
    # Pydantic would take it for seconds, or milliseconds, since 1970.
    if isinstance(text, int | float) or (
        isinstance(text, str) and re.fullmatch(r"[\s0-9.+-]*", text)
    ):
        raise ValueError("must be RFC 3339 with a zone, such as 2026-01-15T10:00:00Z")
    return text


def _moment(moment: datetime) -> datetime:
    # Compared in the caller's zone first: year 1 and year 9999 overflow when they change zones.
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("must be between 1970 and 2262")
    return moment.astimezone(UTC)


def _duration(text: object) -> timedelta:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise ValueError("must be a duration such as 30s, 5m, 1h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _labels(pairs: list[str]) -> list[str]:
    labels: dict[str, str] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise ValueError("must be key:value, as host:server-1")
        if key in labels:
            raise ValueError(f"names the label {key!r} twice")
        labels[key] = value
    try:
        check_labels(labels)
    except Invalid as error:
        raise ValueError(str(error)) from error
    return pairs


def _matchers(texts: list[str]) -> list[str]:
    if len(texts) > MAX_MATCHERS:
        raise ValueError(f"may stand {MAX_MATCHERS} times, not {len(texts)}")
    for text in texts:
        matchers.parse(text)
    return texts


def _by(keys: list[str]) -> list[str]:
    if len(keys) > MAX_BY or len(set(keys)) < len(keys):
        raise ValueError(f"may name {MAX_BY} labels, each once")
    for key in keys:
        if not LABEL_KEY.fullmatch(key):
            raise ValueError(f"label key {key[:40]!r} must match {LABEL_KEY.pattern}")
    return keys


def _tags(pairs: list[str]) -> list[str]:
    if len(pairs) > MAX_MATCHERS:
        raise ValueError(f"may stand {MAX_MATCHERS} times, not {len(pairs)}")
    keys = [pair.partition(":")[0] for pair in pairs]
    if not all(":" in pair for pair in pairs) or len(set(keys)) < len(keys):
        raise ValueError("must be key:value, as branch:main, each key once")
    return pairs


def _figures(text: str) -> str:
    unknown = set(text.split(",")) - set(FIGURES)
    if unknown:
        raise ValueError(f"must be some of {','.join(FIGURES)}, with commas between")
    return text


Moment = Annotated[AwareDatetime, BeforeValidator(_not_a_number), AfterValidator(_moment)]

Metric = Annotated[
    definitions.MetricName,
    Query(description="The metric's name, in full.", examples=["cpu_usage"]),
]
MetricInPath = Annotated[
    definitions.MetricName,
    Path(description="The metric's name, in full; it may hold slashes.", examples=["cpu_usage"]),
]
Labels = Annotated[
    list[str],
    AfterValidator(_labels),
    Query(
        alias="label",
        description="A label that the series must have, as `key:value`. The first colon divides; "
        "repeat the parameter for more labels, which must all match.",
        examples=[["host:server-1", "region:eu"]],
    ),
]
NO_LABELS: list[str] = []
"""The default of `Labels`, `Matchers` and `By`; FastAPI copies it for each request."""
Matchers = Annotated[
    list[str],
    AfterValidator(_matchers),
    Query(
        alias="match",
        description="What a label must be, as `key=value`, `key!=value`, `key=~regex` or `key!~regex`; "
        "a label that a series lacks is empty. An expression is RE2's and must match all of the value. "
        "Repeat the parameter for more, which must all hold.",
        examples=[["host=~web.*", "region!=eu"]],
    ),
]
By = Annotated[
    list[str],
    AfterValidator(_by),
    Query(
        description="A label to tell groups of series apart by; repeat the parameter for more.",
        examples=[["host"]],
    ),
]

Start = Annotated[
    Moment | None,
    Query(
        description="First moment, RFC 3339 with a zone. Default: an hour before `end`.",
        examples=["2026-01-15T10:00:00Z"],
    ),
]
End = Annotated[
    Moment | None,
    Query(
        description="First moment that is no longer meant. Default: now.",
        examples=["2026-01-15T11:00:00Z"],
    ),
]
Limit = Annotated[
    int, Query(ge=1, le=MAX_LIMIT, description="Most rows in the answer.", examples=[1000])
]
CursorText = Annotated[
    str | None,
    Query(
        max_length=512,
        description="`next_cursor` of the page before. Repeat the other parameters as they were.",
    ),
]
Bucket = Annotated[
    timedelta,
    BeforeValidator(_duration, json_schema_input_type=str),
    Query(
        description="Width of a bucket: a number and s, m, h or d.",
        examples=["5m"],
        validate_default=True,
    ),
]
Interval = Annotated[
    timedelta | None,
    BeforeValidator(
        lambda text: text if text is None else _duration(text), json_schema_input_type=str
    ),
    Query(
        description="Width of an interval: a number and s, m, h or d. Default: what `max_points` asks for.",
        examples=["10s"],
    ),
]
A_MINUTE: Any = "1m"
"""A default of `Bucket`, written as a request writes it: OpenAPI shows a timedelta's as PT1M."""
Aggregation = Annotated[
    definitions.Aggregation | None,
    Query(
        description="Figure of each bucket; a rate is a counter's increase by the second, its resets "
        "handled. Default: as the metric's definition has it, else avg.",
    ),
]
Figure = Literal["count", "avg", "min", "max", "sum", "p50", "p95", "p99"]
FIGURES: tuple[Figure, ...] = get_args(Figure)
Figures = Annotated[
    definitions.Storable,
    AfterValidator(_figures),
    Query(
        max_length=100,
        description="Which figures, with commas between. Percentiles cost the most.",
        examples=["avg,max"],
    ),
]
ALL_FIGURES = ",".join(FIGURES)
Fill = Annotated[
    Literal["none", "null", "zero", "previous"],
    Query(
        description="What stands for a bucket without a number: nothing, null, 0, or the value before."
    ),
]
MaxPoints = Annotated[
    int | None,
    Query(
        ge=8,
        le=MAX_BUCKETS,
        description="Most points of a group. Of more, those are kept that show its shape: first, last, "
        "least and greatest of each stretch (M4). Gaps are not told apart then.",
        examples=[500],
    ),
]
Resolution = Annotated[
    Literal["raw", "1m", "5m", "1h"],
    Query(description="raw samples, or what became of a minute, five minutes or an hour."),
]
Prefix = Annotated[
    definitions.Storable,
    Query(max_length=256, description="What the names begin with.", examples=["cpu"]),
]
TestName = Annotated[
    definitions.Storable | None,
    Query(max_length=1024, description="Only runs of this test.", examples=["basic"]),
]
RunTags = Annotated[
    list[definitions.Storable],
    AfterValidator(_tags),
    Query(
        alias="tag",
        description="A tag that the run must have, as `key:value`. The first colon divides; repeat the "
        "parameter for more tags, which must all match.",
        examples=[["branch:main"]],
    ),
]
State = Literal["running", "aggregating", "finished", "aborted"]
Verdict = Literal["passed", "failed"]
ExecutionId = Annotated[
    UUID, Path(description="The run's id.", examples=["0197a5c0-7d2e-7cc3-98c5-6a1b2f3d4e5f"])
]


def tags_of(pairs: list[str]) -> str | None:
    """`RunTags` as the JSON that a run's tags include; None when there are none."""
    tags = dict(pair.split(":", 1) for pair in pairs)
    return json.dumps(tags) if tags else None


@dataclass(frozen=True)
class TimeRange:
    """A time from `start` on and before `end`, both UTC."""

    start: datetime
    end: datetime


def time_range(start: datetime | None, end: datetime | None, now: datetime) -> TimeRange:
    """Fill in what was not asked. Raises a validation error when nothing lies between."""
    end = end or now
    start = start or max(EARLIEST, end - _DEFAULT_RANGE)
    if start >= end:
        raise bad_parameter("start", f"must be before end ({end.isoformat()})")
    return TimeRange(start, end)


def check_buckets(asked: TimeRange, bucket: timedelta, field: str = "bucket") -> None:
    """Raise a validation error of the field when the buckets would be too many."""
    buckets = (asked.end - asked.start) / bucket
    if buckets > MAX_BUCKETS:
        raise bad_parameter(
            field, f"makes {buckets:.0f} points; at most {MAX_BUCKETS}: take a wider one"
        )


def check_points(groups: int, asked: TimeRange, bucket: timedelta) -> None:
    """Raise a validation error when the groups' buckets would be too many."""
    points = groups * ((asked.end - asked.start) / bucket)
    if points > MAX_POINTS:
        raise bad_parameter(
            "by",
            f"makes {points:.0f} points; at most {MAX_POINTS}: take fewer labels or wider buckets",
        )
