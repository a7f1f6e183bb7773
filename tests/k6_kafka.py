"""Points of `--out json` as xk6-output-kafka writes them (its pkg/kafka/format_json.go, format_influxdb.go)."""

import json
import random
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from producers.kafka import close_producer, make_producer

PARTITIONS = 3
"""Of the topics that are written here."""

_TAGS_AS_FIELDS = ("vu", "iter", "url")


async def produce(bootstrap: str, topic: str, values: Iterable[bytes]) -> None:
    """Write messages without keys, each to any partition, as the extension does."""
    producer = make_producer(bootstrap, client_id="k6")
    await producer.start()
    try:
        for value in values:
            await producer.send(topic, value, partition=random.randrange(PARTITIONS))  # noqa: S311 # no secret
        await producer.flush()
    finally:
        await close_producer(producer, timeout=10)


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
