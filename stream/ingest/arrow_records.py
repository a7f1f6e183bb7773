"""Reads Arrow envelopes into segments: columns stay columns, only distinct series are looked at."""

from collections.abc import Iterator
from uuid import UUID

import numpy as np
import pyarrow as pa

from schemas.errors import Invalid
from schemas.samples import MAX_TEXT_BYTES
from schemas.series import Key
from stream.ingest.draft import Cache, Draft, Tenants
from stream.ingest.segments import Segment


class ArrowReader:
    """Fills a draft from Arrow IPC streams."""

    def __init__(self, draft: Draft, cache: Cache, tenants: Tenants) -> None:
        self._draft = draft
        self._cache = cache
        self._tenants = tenants

    def read(self, index: int, value: bytes) -> None:
        """Read one record; what is wrong with it becomes a reject."""
        try:
            self._read(index, value)
        except Invalid as error:
            self._draft.reject(index, None, error)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self._draft.reject(index, None, Invalid("bad_arrow", f"not an Arrow stream: {error}"))

    def _read(self, index: int, value: bytes) -> None:
        with pa.ipc.open_stream(value) as stream:
            metadata = stream.schema.metadata or {}
            spelling = metadata.get(b"tenant_id")
            if spelling is None:
                raise Invalid("bad_envelope", "the schema metadata lacks tenant_id")
            tenant = self._tenants.find(spelling.decode())
            if tenant is None:
                self._draft.strangers.append(index)
                return
            first = 0
            # Read whole before any sample counts: a stream that breaks off is rejected as one.
            for batch in stream.read_all().to_batches():
                self._segment(index, first, tenant, batch)
                first += batch.num_rows
            if not first:
                raise Invalid("bad_envelope", "an Arrow envelope carries at least one sample")

    def _segment(self, index: int, first: int, tenant: UUID, batch: pa.RecordBatch) -> None:
        missing = {"ts", "series"} - set(batch.schema.names)
        if missing:
            raise Invalid("bad_envelope", f"columns are missing: {', '.join(sorted(missing))}")
        series = batch["series"]
        if (
            not isinstance(series, pa.DictionaryArray)
            or series.null_count
            or batch["ts"].null_count
        ):
            raise Invalid(
                "bad_envelope", "series must be a dictionary of text, without nulls as ts"
            )
        keys: list[Key] = series.dictionary.cast(pa.string()).to_pylist()
        found = list(map(self._cache.of(tenant).get, keys))
        if None in found:
            self._draft.fill_unknown(tenant, keys, found)
        n = batch.num_rows
        numbers, bools, texts = _values(batch)
        segment = Segment(
            record=np.full(n, index, np.int32),
            item=np.arange(first, first + n, dtype=np.int32),
            ts=np.asarray(batch["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())),
            series=np.array(found, np.int64)[np.asarray(series.indices)],
            numbers=numbers,
            bools=bools,
            texts=texts,
        )
        self._draft.segments.append(segment)
        if bools is None and texts is None:
            wrong = ~np.isfinite(numbers)
            error = Invalid("not_finite", "v_num must be a finite number")
        else:
            wrong, error = _unusable(segment), Invalid("bad_value", "no value, or not storable")
        self._draft.enforce(len(self._draft.segments) - 1, wrong, lambda _: error)


def _values(
    batch: pa.RecordBatch,
) -> "tuple[np.ndarray[tuple[int], np.dtype[np.float64]], list[bool | None] | None, list[str | None] | None]":
    names = batch.schema.names
    if "v_num" in names:
        numbers = batch["v_num"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        numbers = np.full(batch.num_rows, np.nan)
    bools = batch["v_bool"].to_pylist() if "v_bool" in names else None
    texts = batch["v_text"].to_pylist() if "v_text" in names else None
    return numbers, bools, texts


def _unusable(segment: Segment) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Samples of a mixed segment without any value, or with text that can't be stored."""

    def usable() -> Iterator[bool]:
        n = len(segment.ts)
        bools = segment.bools or [None] * n
        texts = segment.texts or [None] * n
        for number, flag, text in zip(segment.numbers, bools, texts, strict=True):
            if text is not None:
                yield len(text.encode()) <= MAX_TEXT_BYTES and "\0" not in text
            else:
                yield flag is not None or bool(np.isfinite(number))

    return ~np.fromiter(usable(), np.bool_, len(segment.ts))
