"""Finds the series of a request, and the groups that they are taken together in."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from query import matchers
from query.database import Reading, Rows
from query.problems import bad_parameter
from schemas.definitions import Aggregation, MetricType

MAX_SERIES = 10_000
"""In one request; a wider one says which parameter narrows it."""
MAX_MATCHED = 50_000
"""Series that matchers are tried on: more have to be narrowed by `label` first."""
MAX_GROUPS = 1_000

Labels = dict[str, str]

_decode_labels = msgspec.json.Decoder(Labels).decode


@dataclass(frozen=True)
class Defined:
    """What a metric's definition says about its answers; nothing of one that is not defined."""

    display_name: str | None = None
    unit: str | None = None
    type: MetricType | None = None
    aggregation: Aggregation = "avg"
    retention_days: int | None = None

    @property
    def is_sketched(self) -> bool:
        """Whether sketches are kept of it."""
        return self.type in {"histogram", "summary"}


@dataclass(frozen=True)
class Selection:
    """Series of a metric to read, ascending, and beside each the number of its group.

    `labels` has what the series of a group have in common, by the group's number.
    """

    name: str
    ids: list[int]
    groups: list[int]
    labels: list[Labels]


async def definition(reading: Reading, name: str) -> Defined:
    """The definition of a metric."""
    for row in await reading.rows("get_definition", name):
        return Defined(**{field: row[field] for field in Defined.__dataclass_fields__})
    return Defined()


async def find_series(
    reading: Reading, name: str, label: Sequence[str], match: Sequence[str] = ()
) -> dict[int, Labels]:
    """Labels by series id, ascending, of the metric's series that these parameters mean.

    Raises a validation error when they are too many.
    """
    wanted: Labels = dict(pair.split(":", 1) for pair in label)
    rest = []
    for matcher in map(matchers.parse, match):
        if matcher.is_equality and wanted.get(matcher.key, matcher.value) == matcher.value:
            wanted[matcher.key] = matcher.value
        else:
            rest.append(matcher)
    most = MAX_MATCHED if rest else MAX_SERIES
    rows = await reading.rows("find_series", name, msgspec.json.encode(wanted).decode(), most + 1)
    if len(rows) > most:
        raise bad_parameter("label", f"must narrow {name!r} to at most {most} series")
    # Many are read in a thread, so that other requests have their turn meanwhile.
    found = await asyncio.to_thread(_matching, rest, rows) if rest else _decoded(rows)
    if len(found) > MAX_SERIES:
        raise bad_parameter("match", f"must narrow {name!r} to at most {MAX_SERIES} series")
    return found


def _decoded(rows: Rows) -> dict[int, Labels]:
    return {row["series_id"]: _decode_labels(row["labels"]) for row in rows}


def _matching(wanted: Sequence[matchers.Matcher], rows: Rows) -> dict[int, Labels]:
    series = _decoded(rows)
    fits = matchers.matching(wanted, list(series.values()))
    return {number: series[number] for number, fit in zip(series, fits, strict=True) if fit}


def select(name: str, series: Mapping[int, Labels], by: Sequence[str]) -> Selection:
    """Group a metric's series by labels; a label that a series lacks is empty. Without labels, all together.

    Raises a validation error when the groups are too many.
    """
    keys = [tuple(labels.get(key, "") for key in by) for labels in series.values()]
    distinct = sorted(set(keys)) if by else [()]
    if len(distinct) > MAX_GROUPS:
        raise bad_parameter(
            "by", f"makes {len(distinct)} groups; at most {MAX_GROUPS}: narrow with label or match"
        )
    number = {key: at for at, key in enumerate(distinct)}
    return Selection(
        name,
        list(series),
        [number[key] for key in keys],
        [dict(zip(by, key, strict=True)) for key in distinct],
    )
