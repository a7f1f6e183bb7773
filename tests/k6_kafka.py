"""Points of `--out json` as xk6-output-kafka writes them (its pkg/kafka/format_json.go, format_influxdb.go)."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

_TAGS_AS_FIELDS = ("vu", "iter", "url")


def as_json(point: dict[str, Any]) -> bytes:
    """`{"type":"Point","data":{time,value,tags},"metric":…}`: Go's order of fields, no metadata."""
    data = {key: point["data"].get(key) for key in ("time", "value", "tags")}
    document = {"type": "Point", "data": data, "metric": point["metric"]}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def as_influx(point: dict[str, Any]) -> bytes:
    """The line of influxdb1-client's Point.String(): sorted, without empty tags, nanoseconds."""
    data = point["data"]
    tags = "".join(
        f",{_escaped(key)}={_escaped(value)}"
        for key, value in sorted(data["tags"].items())
        if key not in _TAGS_AS_FIELDS and value
    )
    fields = {
        key: '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for key, value in data["tags"].items()
        if key in _TAGS_AS_FIELDS
    }
    fields["value"] = format(Decimal(repr(float(data["value"]))), "f")
    listed = ",".join(f"{key}={value}" for key, value in sorted(fields.items()))
    name = point["metric"].replace(",", "\\,").replace(" ", "\\ ")
    return f"{name}{tags} {listed} {_nanoseconds(data['time'])}".encode()


def _escaped(text: str) -> str:
    for character in ",= ":
        text = text.replace(character, "\\" + character)
    return text


def _nanoseconds(time: str) -> int:
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0"))
