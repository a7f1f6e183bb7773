"""A batch: what one transaction makes durable, with the way back from each row to its record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.series import Key

SAMPLES = pa.schema(
    [
        ("ts", pa.timestamp("us", "UTC")),
        ("series_id", pa.int64()),
        ("v_num", pa.float64()),
        ("v_bool", pa.bool_()),
        ("v_text", pa.string()),
    ]
)
"""Columns of `samples`; a batch of numbers alone carries the first three."""

POINTS = pa.schema(
    [
        ("ts", pa.timestamp("us", "UTC")),
        ("execution_id", pa.binary()),  # 16 bytes: what COPY wants of a uuid
        ("series_id", pa.int64()),
        ("value", pa.float64()),
    ]
)
"""Columns of `k6_samples`."""


class Record(Protocol):
    """A Kafka record, as aiokafka delivers it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Source(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True)
class Claim:
    """The offsets of one partition that a batch covers: [start, end).

    `start` is where the consumer stood, not the first record's offset: compaction and transaction
    markers leave numbers out.
    """

    start: int
    end: int


@dataclass(frozen=True)
class Chunk:
    """Records of one partition in the order of their offsets, and the offsets that they cover."""

    source: Source
    claim: Claim
    records: Sequence[Record]


@dataclass(frozen=True)
class Reject:
    """A record, or one sample of it, that can't be stored, and why.

    `item` is the sample's place in the record, None for the whole record; `reason` a stable word,
    `detail` for people; `execution` the run (16 bytes) that misses a point.
    """

    record: Record
    item: int | None
    reason: str
    detail: str
    execution: bytes | None = None

    @property
    def place(self) -> tuple[str, int, int, int | None]:
        """Where it came from: topic, partition, offset, item."""
        return self.record.topic, self.record.partition, self.record.offset, self.item


@dataclass(frozen=True)
class Refusal:
    """Samples of one record whose new series are past a limit: not stored, not dead-lettered, counted.

    `reason` is too_many_series or too_many_label_values; `example` one of the series, as it was spelt.
    """

    record: Record
    tenant: UUID
    reason: str
    samples: int
    example: Key


@dataclass
class Rows:
    """Rows of one table, and where each came from.

    `record` indexes `Batch.records`, `item` the sample within that record; both are as long as `data`.
    """

    data: pa.RecordBatch
    record: NDArray[np.int32]
    item: NDArray[np.int32]
    encoded: bytes | None = None
    """As COPY wants them, where that was made ahead."""

    def take(self, chosen: NDArray[np.int64]) -> "Rows":
        """The rows at these positions."""
        return Rows(self.data.take(pa.array(chosen)), self.record[chosen], self.item[chosen])


@dataclass
class Batch:
    """Rows to store, rejects to dead-letter and the offsets that both stand for."""

    claims: dict[Source, Claim]
    records: Sequence[Record]
    samples: Rows
    points: Rows
    rejects: list[Reject] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    counts: Sequence[int] = ()
    """How many of the records are of each claim, in the claims' order; records stand in it, too."""
    series_epoch: int = 0
    """How many deletions of series there had been when its series were looked up."""
    buried: set[tuple[str, int, int, int | None]] = field(default_factory=set)
    """Places of rejects that are dead letters already: a batch that is written again buries them once."""

    @property
    def size(self) -> int:
        """Samples in the batch, good and bad."""
        refused = sum(refusal.samples for refusal in self.refusals)
        return len(self.samples.record) + len(self.points.record) + len(self.rejects) + refused
