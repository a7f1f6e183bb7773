"""Columns of a few records on their way to a batch: numbers in numpy, one entry a sample."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.batches import POINTS, SAMPLES, Rows


@dataclass
class Segment:
    """Samples of consecutive records.

    `series` holds series numbers, or -1 - n for the nth series that the cache did not know. `bools`
    and `texts` are None where no sample has such a value, else objects with None for "not this kind".
    `execution` is the run that the points belong to, None for ordinary samples.
    """

    record: NDArray[np.int32]
    item: NDArray[np.int32]
    ts: NDArray[np.int64]
    series: NDArray[np.int64]
    numbers: NDArray[np.float64]
    execution: bytes | None = None
    bools: list[bool | None] | None = None
    texts: list[str | None] | None = None

    def keep(self, mask: NDArray[np.bool_]) -> "Segment":
        """The samples where `mask` is true."""
        chosen = np.flatnonzero(mask)
        return Segment(
            self.record[mask],
            self.item[mask],
            self.ts[mask],
            self.series[mask],
            self.numbers[mask],
            self.execution,
            None if self.bools is None else [self.bools[i] for i in chosen],
            None if self.texts is None else [self.texts[i] for i in chosen],
        )


def sample_rows(segments: list[Segment]) -> Rows:
    """Rows of `samples`, sorted by series and time: what columnstore and index both like best."""
    ts, series, record, item = _joined(segments)
    order = np.lexsort((ts, series))
    numbers = _concatenate([s.numbers for s in segments], np.float64)
    if all(s.bools is None and s.texts is None for s in segments):
        data = [pa.array(numbers[order])]
    else:
        bools = pa.concat_arrays([_objects(s.bools, len(s.ts), pa.bool_()) for s in segments])
        texts = pa.concat_arrays([_objects(s.texts, len(s.ts), pa.string()) for s in segments])
        # NaN marks "not a number" within a mixed segment; a real NaN was refused before.
        data = [
            pa.array(numbers, from_pandas=True).take(pa.array(order)),
            bools.take(pa.array(order)),
            texts.take(pa.array(order)),
        ]
    schema = pa.schema([SAMPLES.field(i) for i in range(2 + len(data))])
    columns = [_time(ts[order]), pa.array(series[order]), *data]
    return Rows(pa.record_batch(columns, schema=schema), record[order], item[order])


def point_rows(segments: list[Segment]) -> Rows:
    """Rows of `k6_samples`, sorted by run, series and time."""
    ts, series, record, item = _joined(segments)
    runs = sorted({s.execution or b"" for s in segments})
    run = _concatenate(
        [np.full(len(s.ts), runs.index(s.execution or b""), np.int32) for s in segments], np.int32
    )
    order = np.lexsort((ts, series, run))
    numbers = _concatenate([s.numbers for s in segments], np.float64)
    columns = [
        _time(ts[order]),
        pa.array(runs, pa.binary()).take(pa.array(run[order])),
        pa.array(series[order]),
        pa.array(numbers[order]),
    ]
    return Rows(pa.record_batch(columns, schema=POINTS), record[order], item[order])


def _joined(
    segments: list[Segment],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    return (
        _concatenate([s.ts for s in segments], np.int64),
        _concatenate([s.series for s in segments], np.int64),
        _concatenate([s.record for s in segments], np.int32),
        _concatenate([s.item for s in segments], np.int32),
    )


def _concatenate(parts: list[NDArray], kind: type) -> NDArray:  # type: ignore[type-arg] # any dtype
    return np.concatenate(parts) if parts else np.empty(0, kind)


def _objects(
    values: list[bool | None] | list[str | None] | None, n: int, kind: pa.DataType
) -> pa.Array:
    return pa.nulls(n, kind) if values is None else pa.array(values, kind)


def _time(micros: NDArray[np.int64]) -> pa.Array:
    return pa.array(micros).cast(pa.timestamp("us", "UTC"))
