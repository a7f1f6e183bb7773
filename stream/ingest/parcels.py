"""Turns the stored rows of a batch into records for the watched topic. Numbers only, no client."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.batches import Batch, Rows, Source
from schemas.watched import Header, encode, record
from schemas.watched_rows import Floats, Integers, WatchedRows, packed, places_of, starts_of
from sinks.watched import Lane, Parcel
from stream.core.reduction import of_runs, reduced
from stream.ingest.decode import is_import
from stream.ingest.watching import Known

PART_BYTES = 2 << 20
"""Of a record before compression; what is beyond goes into another part. The topic takes 4 MiB."""

_ROW_BYTES, _CLASS_BYTES, _VALUE_BYTES = 80, 12, 8
_PLACE_BITS = 32
"""Lane and watch in one number."""
_NEVER = np.iinfo(np.int64).min
_NO_ROWS = reduced(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True)
class Samples:
    """Columns of what may be watched; `source` is the place of a sample's source among the batch's claims."""

    source: NDArray[np.int32]
    series: Integers
    ts: Integers
    values: Floats
    """NaN for a text."""

    @cached_property
    def runs(self) -> Integers:
        """Where another series or another source begins, or time goes back: another run of k6 does."""
        other = (self.series[1:] != self.series[:-1]) | (self.source[1:] != self.source[:-1])
        other |= self.ts[1:] < self.ts[:-1]
        return np.flatnonzero(np.append(True, other)[: len(self.ts)])

    def where(self, mask: NDArray[np.bool_]) -> "Samples":
        """Those where the mask is true."""
        return Samples(self.source[mask], self.series[mask], self.ts[mask], self.values[mask])


@dataclass(frozen=True)
class Making:
    """What the records of a batch are made from, besides its rows."""

    known: Known
    """Every series of the batch is."""
    epochs: Mapping[Source, int]
    silent: Collection[Lane]
    """Lanes that get a record even if they have no watched sample, for the time that it tells."""
    now: int
    """Microseconds since the epoch."""


def watchable(batch: Batch, samples: Rows, points: Rows) -> Samples:
    """All that is stored of a batch but imported points: history would wake somebody up by mistake."""
    of_record = np.repeat(np.arange(len(batch.claims), dtype=np.int32), batch.counts)
    return _joined(
        [
            _columns(samples, _numbers(samples.data), of_record),
            _live(batch, points, _columns(points, np.asarray(points.data["value"]), of_record)),
        ]
    )


def parcels(batch: Batch, every: Samples, making: Making) -> list[Parcel]:
    """Records for a batch's samples: by lane, and within one in the order of parts."""
    sources = list(batch.claims)
    newest = dict(zip(sources, _newest(every, len(sources), making.now), strict=True))
    texts = np.isnan(every.values)
    numbers = every.where(~texts) if texts.any() else every
    found = list(_of_rows(batch, _watched(numbers, making.known), newest, making))
    heard = {parcel.lane for parcel in found}
    for lane in making.silent:
        if newest[lane.source] is not None and lane not in heard:
            header = _header(batch, lane, newest[lane.source], making)
            found.append(Parcel(lane, header.place, encode(header, (), _NO_ROWS)))
    return found


def _columns(rows: Rows, values: Floats, of_record: NDArray[np.int32]) -> Samples:
    return Samples(
        of_record.take(rows.record),  # twice as fast as by brackets
        np.asarray(rows.data["series_id"]),
        np.asarray(rows.data["ts"].view(pa.int64())),
        values,
    )


def _numbers(data: pa.RecordBatch) -> Floats:
    """Values as rules see them: numbers, true as 1 and false as 0; NaN for texts."""
    numbers = data["v_num"]
    if "v_bool" in data.schema.names:
        numbers = pc.coalesce(numbers, data["v_bool"].cast(pa.int8()).cast(pa.float64()))
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _live(batch: Batch, points: Rows, columns: Samples) -> Samples:
    """The points that are no import's."""
    imported = [i for i in np.unique(points.record).tolist() if is_import(batch.records[i])]
    return columns.where(~np.isin(points.record, imported)) if imported else columns


def _joined(parts: Sequence[Samples]) -> Samples:
    some = [part for part in parts if len(part.ts)] or parts[:1]
    if len(some) == 1:
        return some[0]
    return Samples(
        np.concatenate([part.source for part in some]),
        np.concatenate([part.series for part in some]),
        np.concatenate([part.ts for part in some]),
        np.concatenate([part.values for part in some]),
    )


def _newest(every: Samples, sources: int, now: int) -> list[int | None]:
    """Of each source the newest time, None where it has no sample."""
    found = np.full(sources, _NEVER)
    if len(every.runs):
        np.maximum.at(found, every.source[every.runs], np.maximum.reduceat(every.ts, every.runs))
    return [None if ts == _NEVER else min(ts, now) for ts in found.tolist()]


def _watched(every: Samples, known: Known) -> WatchedRows:
    """Rows of the watched series. In place of a series stand source, partition and watch in one number."""
    runs, ts, values = every.runs, every.ts, every.values
    n = np.diff(runs, append=len(ts))
    at = known.places(every.series[runs])
    if (at < 0).any():
        runs, n, at = runs[at >= 0], n[at >= 0], at[at >= 0]
        chosen = places_of(runs, n)
        ts, values = ts[chosen], values[chosen]
    if not len(at):
        return _NO_ROWS
    lane = every.source[runs].astype(np.int64) * known.watchlist.count + known.partitions[at]
    key, keep, parts = (lane << _PLACE_BITS) + at, known.keep[at], known.watchlist.parts
    order = np.argsort(key, kind="stable")
    if (np.diff(key[order]) == 0).any():
        return reduced(np.repeat(key, n), ts, values, np.repeat(keep, n), parts=parts)
    rows = of_runs(n.cumsum() - n, key, ts, values, keep, parts=parts)
    # Put in order when they are few.
    begin = starts_of(rows.series)
    count = np.diff(begin, append=len(rows))
    return rows.take(places_of(begin[order], count[order]))


def _of_rows(
    batch: Batch, rows: WatchedRows, newest: Mapping[Source, int | None], making: Making
) -> Iterator[Parcel]:
    """The records of rows as `_watched` gives them."""
    known, sources = making.known, list(batch.claims)
    starts = starts_of(rows.series)
    places = rows.series[starts] & ((1 << _PLACE_BITS) - 1)
    index = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    ids, entries = known.series[places], known.entries[places]
    lanes = rows.series >> _PLACE_BITS
    size = _ROW_BYTES + _VALUE_BYTES * rows.exact_of + _CLASS_BYTES * rows.classes_of
    size[starts] += known.sizes[places]
    cuts = [*_cuts(lanes, size), len(rows)]
    columns = packed(rows, cuts)
    part = 0
    for i, (first, end) in enumerate(pairwise(cuts)):
        source, partition = divmod(int(lanes[first]), known.watchlist.count)
        lane = Lane(sources[source], partition)
        last = end == len(rows) or lanes[end] != lanes[first]
        header = _header(batch, lane, newest[lane.source] if last else None, making, part)
        begin, until = index[first], index[end - 1] + 1
        payload = record(
            header,
            ids[begin:until],
            entries[begin:until].tolist(),
            index[first:end] - begin,
            columns[i],
        )
        yield Parcel(lane, header.place, payload)
        part = 0 if last else part + 1


def _header(batch: Batch, lane: Lane, newest: int | None, making: Making, part: int = 0) -> Header:
    claim = batch.claims[lane.source]
    return Header(lane.source, making.epochs[lane.source], claim.start, claim.end, newest, part)


def _cuts(lanes: Integers, size: Integers) -> Integers:
    """Where a lane begins, or what a record holds is full."""
    starts = starts_of(lanes)
    before = np.cumsum(size) - size
    full = (before - np.repeat(before[starts], np.diff(starts, append=len(lanes)))) // PART_BYTES
    return starts_of((lanes << 16) + full) if full.any() else starts
