"""What a request is about, found in one question: a metric's definition, its series, the state of its data.

One, because each question costs the process a fifth of a millisecond, which is more than the database
needs to answer any of them.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

import msgspec

from query import matchers, routing
from query.database import Plan, Reading
from query.freshness import State
from query.parameters import TimeRange
from query.problems import bad_parameter
from query.series import Defined, Labels
from query.settled import Hours
from schemas.matchers import Matcher, parse

MAX_SERIES = 10_000
"""In one request; a wider one says which parameter narrows it."""
MAX_MATCHED = 50_000
"""Series that matchers are tried on: more have to be narrowed by `label` first."""
REACH = timedelta(hours=1)
"""How far before a range an answer may look: a counter's last value."""

_decode_labels = msgspec.json.Decoder(Labels).decode


@dataclass(frozen=True)
class Subject:
    """A metric as a request means it."""

    name: str
    defined: Defined
    state: State
    """Of at least the range that was asked for."""
    rest: Sequence[Matcher]
    """Matchers that the database has not tried."""
    ids: Sequence[int]
    labels: Sequence[str]
    hours: Hours | None
    """Of at least the range, when they are worth reading."""

    async def series(self) -> dict[int, Labels]:
        """Labels by series id, ascending, of the metric's series that are meant.

        Raises a validation error when they are too many.
        """
        most = MAX_MATCHED if self.rest else MAX_SERIES
        if len(self.ids) > most:
            raise bad_parameter("label", f"must narrow {self.name!r} to at most {most} series")
        # Many are read in a thread, so that other requests have their turn meanwhile.
        found = await asyncio.to_thread(self._matching) if self.rest else self._decoded()
        if len(found) > MAX_SERIES:
            raise bad_parameter(
                "match", f"must narrow {self.name!r} to at most {MAX_SERIES} series"
            )
        return found

    def _decoded(self) -> dict[int, Labels]:
        return dict(zip(self.ids, map(_decode_labels, self.labels), strict=True))

    def _matching(self) -> dict[int, Labels]:
        series = self._decoded()
        fits = matchers.matching(self.rest, list(series.values()))
        return {number: series[number] for number, fit in zip(series, fits, strict=True) if fit}


async def look_up(
    reading: Reading,
    name: str,
    label: Iterable[str],
    match: Iterable[str],
    asked: TimeRange,
    *,
    plan: Plan = "custom",
    with_hours: bool = False,
) -> Subject:
    """Find a metric, and its series that have these labels and match. Raises as `Reading.rows`.

    `plan` is for the statements that follow; `with_hours` asks for the versions of the range's hours.
    """
    wanted: Labels = dict(pair.split(":", 1) for pair in label)
    rest = []
    for matcher in map(parse, match):
        if matcher.is_equality and wanted.get(matcher.key, matcher.value) == matcher.value:
            wanted[matcher.key] = matcher.value
        else:
            rest.append(matcher)
    # Whatever is read in the end: no bucket is wider than an hour.
    start, end = routing.floor(asked.start, "1h") - REACH, routing.ceiling(asked.end, "1h")
    most = MAX_MATCHED if rest else MAX_SERIES
    labels = msgspec.json.encode(wanted).decode()
    (row,) = await reading.rows(
        "subject", start, end, name, labels, most + 1, with_hours, f"force_{plan}_plan"
    )
    defined = _of(Defined, row) if row["version"] is not None else Defined()
    hours = Hours.of(row, start, end) if with_hours else None
    state, ids, shown = _of(State, row), row["ids"] or (), row["labels"] or ()
    return Subject(name, defined, state, rest, ids, shown, hours)


def _of(kind: Any, row: Any) -> Any:
    return kind(**{field.name: row[field.name] for field in fields(kind)})
