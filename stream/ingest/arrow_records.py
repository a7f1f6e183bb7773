"""Reads Arrow envelopes into segments: columns stay columns, only distinct series are looked at."""

import struct
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas import arrow_stream
from schemas.errors import Invalid
from schemas.samples import check_value
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
            arrow_stream.check(value)
            with pa.ipc.open_stream(value) as stream:
                spelling = (stream.schema.metadata or {}).get(b"tenant_id", b"").decode()
                _check_schema(stream.schema)
                # Whole before any sample counts: a stream that breaks off is rejected as one.
                batches = stream.read_all().combine_chunks().to_batches()
            for batch in batches:
                _check_values(batch)
        except Invalid as error:
            self._draft.reject(index, None, error)
            return
        except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error) as error:
            self._draft.reject(index, None, Invalid("bad_arrow", f"not an Arrow stream: {error}"))
            return
        tenant = self._tenants.find(spelling)
        if tenant is None:
            self._draft.strangers.append((index, spelling))
            return
        first = 0
        for batch in batches:
            self._segment(index, first, tenant, batch)
            first += batch.num_rows

    def _segment(self, index: int, first: int, tenant: UUID, batch: pa.RecordBatch) -> None:
        n = batch.num_rows
        keys: list[Key] = [key or "" for key in batch["series"].dictionary.to_pylist()]
        found = list(map(self._cache.of(tenant).get, keys))
        if None in found:
            self._draft.fill_unknown(tenant, keys, found)
        names = batch.schema.names
        numbers = np.full(n, np.nan)
        if "v_num" in names:
            numbers = batch["v_num"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        segment = Segment(
            record=np.full(n, index, np.int32),
            item=np.arange(first, first + n, dtype=np.int32),
            ts=_micros(batch["ts"]),
            series=np.array(found, np.int64)[np.asarray(batch["series"].indices)],
            numbers=numbers,
            bools=batch["v_bool"].to_pylist() if "v_bool" in names else None,
            texts=batch["v_text"].to_pylist() if "v_text" in names else None,
        )
        self._draft.segments.append(segment)
        at = len(self._draft.segments) - 1
        if segment.bools is None and segment.texts is None:
            error = Invalid("not_finite", "v_num must be finite")
            self._draft.enforce(at, ~np.isfinite(numbers), lambda _: error)
        else:
            faults = _faults(segment)
            wrong = np.zeros(n, np.bool_)
            wrong[list(faults)] = True
            self._draft.enforce(at, wrong, faults.__getitem__)


def _check_schema(schema: pa.Schema) -> None:
    """Raise Invalid unless the columns are those of FORMATS, each once and of its type."""
    wanted = {
        "ts": pa.types.is_timestamp,
        "series": lambda t: pa.types.is_dictionary(t) and _is_text(t.value_type),
        "v_num": lambda t: pa.types.is_floating(t) or pa.types.is_integer(t),
        "v_bool": pa.types.is_boolean,
        "v_text": _is_text,
    }
    for name, fits in wanted.items():
        positions = schema.get_all_field_indices(name)
        if len(positions) > 1 or (not positions and name in {"ts", "series"}):
            raise Invalid("bad_envelope", f"column {name} must be there once")
        if positions and not fits(schema.field(positions[0]).type):
            raise Invalid("bad_envelope", f"column {name} can't be {schema.field(name).type}")


def _check_values(batch: pa.RecordBatch) -> None:
    """Raise what Arrow raises for values out of bounds, and Invalid for nulls where none may be."""
    batch.validate(full=True)
    if batch["ts"].null_count or batch["series"].null_count:
        raise Invalid("bad_envelope", "ts and series can't be null")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _micros(ts: pa.Array) -> NDArray[np.int64]:
    """Microseconds since the epoch; nanoseconds lose their last three digits, as in JSON."""
    safe = ts.type.unit != "ns"
    return np.asarray(ts.cast(pa.timestamp("us", ts.type.tz), safe=safe).cast(pa.int64()))


def _faults(segment: Segment) -> dict[int, Invalid]:
    """Samples of a mixed segment that have not exactly one value, or one that can't be stored."""
    nothing = [None] * len(segment.ts)
    found = {}
    for position, (number, flag, text) in enumerate(
        zip(
            segment.numbers.tolist(),
            segment.bools or nothing,
            segment.texts or nothing,
            strict=True,
        )
    ):
        given = [v for v in (None if np.isnan(number) else number, flag, text) if v is not None]
        try:
            check_value(given[0] if len(given) == 1 else None)
        except Invalid as error:
            found[position] = error
    return found
