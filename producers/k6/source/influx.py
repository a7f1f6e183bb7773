"""Reads a point from a line of InfluxDB's protocol, as k6's outputs write it: `name,tags url="…",value=1 ns`.

Tags that k6 was told to send as fields (by default `url`, `vu` and `iter`) become tags again, but for the
last two: they differ in nearly every point, and JSON does not carry them either.
"""

import math
import re

import msgspec

from producers.k6.csv_lines import as_rfc3339
from schemas.errors import Invalid
from schemas.k6 import Point, PointData

_LINE = re.compile(
    r"(?P<head>(?:\\.|[^\\ \n])+) (?P<fields>(?:\"(?:\\.|[^\"\\])*\"|[^\" \n]|(?<=\\) )+)(?: (?P<ns>-?\d+))?\n?"
)
_FIELD = re.compile(r"((?:\\.|[^\\,= ])+)=(\"(?:\\.|[^\"\\])*\"|[^\",]+)(?:,|$)", re.DOTALL)
_TAG = re.compile(r",((?:\\.|[^\\,=])+)=((?:\\.|[^,])*)")
_NAME = re.compile(r"(?:\\.|[^,])+")
_ESCAPED = re.compile(r"\\([,= ])")
_QUOTED = re.compile(r"\\([\"\\])")
_NOT_KEPT = frozenset({"value", "vu", "iter"})
_CACHED = 20_000


class InfluxLines:
    """Reads lines; what is the same in most of them is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[str, msgspec.Raw]] = {}

    def read(self, line: bytes, record_ms: int) -> Point:
        """The point of a line; one without a time has the record's. Raises Invalid."""
        try:
            found = _LINE.fullmatch(line.decode())
        except UnicodeDecodeError as error:
            raise Invalid("bad_text", str(error)) from error
        if found is None:
            raise Invalid("bad_influx_line", "not of the form name,tags fields nanoseconds")
        fields = _FIELD.findall(found["fields"])
        if sum(len(key) + len(value) + 2 for key, value in fields) != len(found["fields"]) + 1:
            raise Invalid("bad_influx_line", "its fields can't be read")
        value = dict(fields).get("value", "")
        try:
            number = float(value.removesuffix("i"))
            time = as_rfc3339(found["ns"].zfill(19) if found["ns"] else f"{record_ms:013}")
        except (ValueError, OverflowError) as error:
            raise Invalid("bad_influx_line", str(error)) from error
        if not math.isfinite(number):
            raise Invalid("not_finite", f"value is {value}")
        others = [f"{key}={text}" for key, text in fields if key not in _NOT_KEPT]
        key = (found["head"], *others)
        name, tags = self._known.get(key) or self._read(key, fields)
        return Point(name, "Point", PointData(time, number, tags))

    def _read(self, key: tuple[str, ...], fields: list[tuple[str, str]]) -> tuple[str, msgspec.Raw]:
        head = key[0]
        name = _NAME.match(head)
        if name is None:
            raise Invalid("bad_influx_line", "it has no name")
        tags = {_plain(k): _plain(v) for k, v in _TAG.findall(head, name.end())}
        tags |= {_plain(k): _text(v) for k, v in fields if k not in _NOT_KEPT}
        if len(self._known) >= _CACHED:
            self._known.clear()
        return self._known.setdefault(
            key, (_plain(name[0]), msgspec.Raw(msgspec.json.encode(dict(sorted(tags.items())))))
        )


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _text(value: str) -> str:
    """A field's value as the tag that it was: text in quotes, an integer with its `i`, or as it stands."""
    if value.startswith('"'):
        return _QUOTED.sub(r"\1", value[1:-1])
    return value.removesuffix("i")
