"""Records to ingest: a fleet's metrics in each shape that producers may choose."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Literal
from uuid import UUID

import msgspec
import numpy as np
import pyarrow as pa

from schemas.envelopes import ARROW_STREAM
from schemas.series import key_text

Shape = Literal["json100", "json1", "arrow"]

SAMPLES_PER_RECORD: dict[Shape, int] = {"json100": 100, "json1": 1, "arrow": 1000}
HEADERS: dict[Shape, list[tuple[str, bytes]]] = {
    "json100": [],
    "json1": [],
    "arrow": [("content-type", ARROW_STREAM)],
}
SERIES = 1000
_NAMES = ("http_req_duration", "http_reqs", "cpu_usage", "memory_usage")
_DISTINCT = 200_000
"""Different samples; their records are sent in turn. More than a batch, and prepared in two seconds."""


@dataclass(frozen=True)
class Workload:
    """`records` values of one shape; together they carry `samples` samples."""

    shape: Shape
    samples: int
    tenant: UUID
    start: datetime

    @property
    def records(self) -> int:
        """How many records carry the samples."""
        return self.samples // SAMPLES_PER_RECORD[self.shape]

    def values(self) -> Iterator[bytes]:
        """The records' values, in the order they are sent."""
        rng = random.Random(1)  # noqa: S311 - the same load each time, not a secret
        distinct = min(_DISTINCT // SAMPLES_PER_RECORD[self.shape], self.records)
        made = [self._record(rng, i) for i in range(distinct)]
        return islice(cycle(made), self.records)

    def _record(self, rng: random.Random, index: int) -> bytes:
        n = SAMPLES_PER_RECORD[self.shape]
        chosen = [rng.randrange(SERIES) for _ in range(n)]
        stamps = [self.start + timedelta(milliseconds=(index * n + i) * 5) for i in range(n)]
        values = [round(rng.random() * 1000, 3) for _ in range(n)]
        if self.shape == "arrow":
            return self._arrow(chosen, stamps, values)
        samples = [
            {"name": _name(c), "value": v, "labels": _labels(c), "timestamp": _text(ts)}
            for c, v, ts in zip(chosen, values, stamps, strict=True)
        ]
        envelope = {"tenant_id": str(self.tenant), "source": "bench"}
        if self.shape == "json1":
            return msgspec.json.encode(envelope | samples[0])
        return msgspec.json.encode({**envelope, "metrics": samples})

    def _arrow(self, chosen: list[int], stamps: list[datetime], values: list[float]) -> bytes:
        distinct, codes = np.unique(chosen, return_inverse=True)
        keys = pa.array([key_text(_name(c), _labels(c)) for c in distinct.tolist()])
        series = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), keys)
        batch = pa.record_batch(
            [pa.array(stamps, pa.timestamp("us", "UTC")), series, pa.array(values)],
            names=["ts", "series", "v_num"],
        ).replace_schema_metadata({"tenant_id": str(self.tenant), "source": "bench"})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue().to_pybytes())


def _name(series: int) -> str:
    return _NAMES[series % len(_NAMES)]


def _labels(series: int) -> dict[str, str]:
    return {
        "host": f"h{series // 10}",
        "endpoint": f"/api/v1/items/{series % 10}",
        "method": "GET",
        "status": "200",
    }


def _text(stamp: datetime) -> str:
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
