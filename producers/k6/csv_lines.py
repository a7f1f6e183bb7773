"""Turns k6's `--out csv` into envelopes: by the header, for its columns follow the system tags.

What follows a row's first three columns is its tags, and the same text comes again and again: it is
read once. Rows, not lines, because a quoted error text may hold line ends.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from producers.k6.envelopes import Envelope, Envelopes
from schemas.k6 import Point, PointData
from schemas.k6_metrics import MetricTypes

HEAD = "metric_name,timestamp,metric_value,"
"""How the header of every version begins."""

_CACHED = 20_000
"""Distinct tag sets, and times, remembered; a test with random URLs has no end of them."""

_MAX_ROW = 1 << 16
"""Characters. A longer row is a quote that nothing closes; reading goes on with the next line."""

_DIGITS = ((11, 0), (14, 3), (17, 6), (20, 9))
"""Up to so many digits an integer time has so many places after the second: K6_CSV_TIME_FORMAT is unix,
unix_milli, unix_micro or unix_nano, and digits tell them apart from 1973 to 5138."""


class CsvLines(Envelopes):
    """Envelopes of a CSV file. Metrics get their types at their first row."""

    piece = 32 << 10
    """Of CSV 300 to 400 points: a row has a third of the bytes of a line of JSON."""

    def __init__(self, types: MetricTypes, **run: Any) -> None:
        """`run` is what Envelopes takes."""
        super().__init__(**run)
        self._types = types
        self._columns: Sequence[str] = ()
        self._number = 0
        """Of the line read last."""
        self._open: list[str] = []
        """Lines of a row whose quotes are not closed."""
        self._tags: dict[str, msgspec.Raw] = {}
        self._times: dict[str, str] = {}

    def end(self) -> Iterator[Envelope]:
        """The input is over: a last line without line end counts too."""
        yield from super().end()
        if self._open:
            self._reject(self._number - len(self._open) + 1, "a quote is never closed")

    def _read(self, lines: bytes) -> list[Point]:
        points: list[Point] = []
        if not lines:
            return points
        self._number = self.lines
        for line in lines.removesuffix(b"\n").decode(errors="replace").split("\n"):
            self._number += 1
            if '"' in line or self._open:
                points += self._quoted(line)
            else:
                points += self._row(line, self._number)
        return points

    def _quoted(self, line: str) -> Iterator[Point]:
        """A line with quotes in it, or inside of some."""
        self._open.append(line)
        text = "\n".join(self._open)
        first = self._number - len(self._open) + 1
        if text.count('"') % 2 == 0:
            self._open = []
            yield from self._row(text, first)
        elif len(text) > _MAX_ROW:
            again, self._open = self._open[1:], []
            self._reject(first, "a quote is never closed")
            self._number = first
            for one in again:
                self._number += 1
                yield from self._quoted(one)

    def _row(self, text: str, number: int) -> list[Point]:
        if text.startswith(HEAD):  # several files joined together have several
            self._columns = text.rstrip("\r").split(",")[3:]
            self._tags.clear()
            return []
        if not text.strip():
            return []
        try:
            name, stamp, value, rest = text.split(",", 3)
            measured = _finite(value)
            time = self._times.get(stamp) or self._time(stamp)
            tags = self._tags.get(rest) or self._parsed(rest)
        except (ValueError, OverflowError, csv.Error) as error:
            self._reject(number, f"{error}: {text[:200]}")
            return []
        if name not in self.metrics:
            self.metrics[name] = self._types.of(name)
        return [Point(name, "Point", PointData(time, measured, tags))]

    def _time(self, stamp: str) -> str:
        if len(self._times) >= _CACHED:
            self._times.clear()
        return self._times.setdefault(stamp, as_rfc3339(stamp))

    def _parsed(self, rest: str) -> msgspec.Raw:
        (cells,) = csv.reader([rest.rstrip("\r")], strict=True)
        if len(cells) != len(self._columns):
            raise ValueError(f"{len(cells) + 3} columns, not the header's {len(self._columns) + 3}")
        tags: dict[str, str] = {}
        for column, cell in zip(self._columns, cells, strict=True):
            if column == "extra_tags":
                tags |= extra(cell)
            elif cell and column != "metadata":
                tags[column] = cell
        if len(self._tags) >= _CACHED:
            self._tags.clear()
        return self._tags.setdefault(rest, msgspec.Raw(msgspec.json.encode(tags)))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no measurement")
    return value


def as_rfc3339(stamp: str) -> str:
    """A time in any of k6's formats as RFC 3339, with all of its digits. Raises ValueError, OverflowError."""
    if not stamp.isascii() or not stamp.isdigit():
        if datetime.fromisoformat(stamp).tzinfo is None:
            raise ValueError(f"{stamp} has no zone")
        return stamp
    places = next((places for most, places in _DIGITS if len(stamp) <= most), None)
    if places is None:
        raise ValueError(f"{stamp} is no time")
    seconds, fraction = divmod(int(stamp), 10**places)
    try:
        whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except OSError as error:
        raise ValueError(f"{stamp} is no time") from error
    return f"{whole}.{fraction:0{places}}Z" if places else f"{whole}Z"


def extra(text: str) -> dict[str, str]:
    """The tags of `extra_tags`: k6 escapes nothing, so what follows an `&` without `=` belongs to a value."""
    tags: dict[str, str] = {}
    key = ""
    for part in text.split("&") if text else ():
        name, equals, value = part.partition("=")
        if equals:
            key = name
            tags[key] = value
        elif key:
            tags[key] += "&" + part
    return tags
