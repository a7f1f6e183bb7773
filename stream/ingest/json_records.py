"""Reads JSON envelopes into segments: whole records at a time, sample by sample only where one is odd."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from schemas import timestamps
from schemas.batches import Record
from schemas.envelopes import (
    UNREADABLE,
    LooseEnvelope,
    LooseSample,
    decode_loose,
    decode_numeric,
    decode_sample,
    readable,
)
from schemas.errors import Invalid
from schemas.samples import MAX_SAMPLES, check_value
from schemas.series import Key
from stream.ingest.draft import Cache, Draft, Tenants
from stream.ingest.segments import Segment


@dataclass
class _Columns:
    """Lists that grow, for records of one run (or none): of each record, and of each sample."""

    record: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    series: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    stamps: list[timestamps.Stamp] = field(default_factory=list)

    def segment(self, draft: Draft, execution: bytes | None) -> Segment:
        count = np.array(self.count)
        ends = count.cumsum()
        ts = timestamps.uniform(self.stamps)
        if ts is None:
            absent = (draft.records[index].timestamp * 1000 for index in self.record)
            places = pairwise([0, *ends.tolist()])
            ts = np.concatenate(
                [
                    timestamps.column(self.stamps[begin:end], at)
                    for (begin, end), at in zip(places, absent, strict=True)
                ]
            )
        return Segment(
            record=np.repeat(np.array(self.record, np.int32), count),
            item=(np.arange(ends[-1]) - np.repeat(ends - count, count)).astype(np.int32),
            ts=ts,
            series=np.array(self.series, np.int64),
            numbers=np.array(self.values, np.float64),
            execution=execution,
        )


class JsonReader:
    """Fills a draft from JSON records. `tenants.find` and the cache answer from memory."""

    def __init__(self, draft: Draft, cache: Cache, tenants: Tenants) -> None:
        self._draft = draft
        self._cache = cache
        self._tenants = tenants
        self._columns: dict[bytes | None, _Columns] = {}
        self._of: tuple[UUID, bytes | None] | None = None
        """Whose samples wait, and of which run."""
        self._waiting: list[Any] = []

    def read(self, index: int, value: bytes) -> None:
        """Read one record; what is wrong with it becomes a reject."""
        try:
            envelope = decode_numeric(value)
        except UNREADABLE:
            self._salvage(index, value)
            return
        tenant = self._tenants.find(envelope.tenant_id)
        if tenant is None:
            self._draft.strangers.append((index, envelope.tenant_id))
            return
        execution = None
        if envelope.execution_id is not None:
            try:
                execution = UUID(envelope.execution_id).bytes
            except ValueError:
                self._salvage(index, value)
                return
        samples: Any = envelope.metrics
        if samples is None:
            if envelope.name is None or envelope.value is None:
                self._salvage(index, value)
                return
            samples = (envelope,)
        elif not 0 < len(samples) <= MAX_SAMPLES:
            self._salvage(index, value)
            return
        if self._of is None or self._of[0] is not tenant or self._of[1] != execution:
            self.flush()
            self._of = tenant, execution
        columns = self._columns.get(execution)
        if columns is None:
            columns = self._columns[execution] = _Columns()
        columns.record.append(index)
        columns.count.append(len(samples))
        self._waiting += samples

    def flush(self) -> None:
        """Number what was read of one tenant and run: record by record it took half as long again."""
        if self._of is None:
            return
        tenant, execution = self._of
        samples, self._waiting = self._waiting, []
        keys: list[Key] = [(s.name, bytes(s.labels)) for s in samples]
        found = list(map(self._cache.of(tenant).get, keys))
        if None in found:
            self._draft.fill_unknown(tenant, keys, found)
        columns = self._columns[execution]
        columns.series += found  # type: ignore[arg-type] # fill_unknown left no None
        columns.values += [s.value for s in samples]
        columns.stamps += [s.timestamp for s in samples]

    def finish(self) -> None:
        """Hand the collected columns over as segments."""
        self.flush()
        for execution, columns in self._columns.items():
            self._draft.segments.append(columns.segment(self._draft, execution))

    def _salvage(self, index: int, value: bytes) -> None:
        """Read a record that is not an envelope of numbers: keep each good sample, reject each bad one."""
        try:
            envelope, samples = _loose(value)
            execution = _execution(envelope)
        except Invalid as error:
            self._draft.reject(index, None, error)
            return
        tenant = self._tenants.find(envelope.tenant_id)
        if tenant is None:
            self._draft.strangers.append((index, envelope.tenant_id))
            return
        good: list[tuple[int, LooseSample]] = []
        for item, raw in enumerate(samples):
            try:
                good.append((item, _sample(raw, numeric=execution is not None)))
            except Invalid as error:
                self._draft.reject(index, item, error, execution)
        if good:
            self._draft.segments.append(self._mixed(index, tenant, execution, good))

    def _mixed(
        self,
        index: int,
        tenant: UUID,
        execution: bytes | None,
        good: list[tuple[int, LooseSample]],
    ) -> Segment:
        samples = [sample for _, sample in good]
        keys: list[Key] = [(s.name, bytes(s.labels)) for s in samples]
        found = list(map(self._cache.of(tenant).get, keys))
        self._draft.fill_unknown(tenant, keys, found)
        values = [s.value for s in samples]
        plain = all(isinstance(v, float) for v in values)
        record: Record = self._draft.records[index]
        return Segment(
            record=np.full(len(good), index, np.int32),
            item=np.array([item for item, _ in good], np.int32),
            ts=timestamps.column([s.timestamp for s in samples], record.timestamp * 1000),
            series=np.array(found, np.int64),
            numbers=np.array([v if isinstance(v, float) else np.nan for v in values]),
            execution=execution,
            bools=None if plain else [v if isinstance(v, bool) else None for v in values],
            texts=None if plain else [v if isinstance(v, str) else None for v in values],
        )


def _loose(value: bytes) -> tuple[LooseEnvelope, list[Any]]:
    """The envelope and its samples: raw bytes, or Python objects where only Python can read them."""
    try:
        envelope = decode_loose(value)
    except msgspec.ValidationError as error:
        raise Invalid("bad_envelope", f"not an envelope: {readable(error)}") from error
    except UnicodeDecodeError as error:
        raise Invalid("bad_utf8", f"not UTF-8: {error}") from error
    except RecursionError as error:
        raise Invalid("bad_json", "nested too deeply") from error
    except msgspec.DecodeError as error:
        return _with_nan(value, error)
    samples = [msgspec.Raw(value)] if envelope.metrics is None else envelope.metrics
    if not samples:
        raise Invalid("bad_envelope", "metrics is empty: an envelope carries 1 to 10,000 samples")
    if len(samples) > MAX_SAMPLES:
        raise Invalid(
            "too_many_samples", f"{len(samples)} samples; a record may carry {MAX_SAMPLES}"
        )
    return envelope, list(samples)


def _with_nan(value: bytes, error: msgspec.DecodeError) -> tuple[LooseEnvelope, list[Any]]:
    """Python's own `json.dumps` writes NaN and lone surrogates: cost them their sample only."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        reason = "bad_utf8" if isinstance(error, UnicodeDecodeError) else "bad_json"
        raise Invalid(reason, f"not JSON: {readable(error)}") from error
    try:
        envelope = msgspec.convert(
            {k: v for k, v in document.items() if k != "metrics"}, LooseEnvelope
        )
    except (msgspec.ValidationError, AttributeError) as wrong:
        raise Invalid("bad_envelope", f"not an envelope: {wrong}") from wrong
    samples = document.get("metrics", [document])
    if not isinstance(samples, list) or not 0 < len(samples) <= MAX_SAMPLES:
        raise Invalid("bad_envelope", "metrics must be a list of 1 to 10,000 samples")
    return envelope, samples


def _execution(envelope: LooseEnvelope) -> bytes | None:
    if envelope.execution_id is None:
        return None
    try:
        return UUID(envelope.execution_id).bytes
    except ValueError as error:
        raise Invalid(
            "bad_execution_id", f"execution_id {envelope.execution_id[:80]!r} is not a UUID"
        ) from error


def _sample(raw: Any, *, numeric: bool) -> LooseSample:
    """One sample from its raw bytes or from Python's reading of it. Raises Invalid."""
    if not isinstance(raw, msgspec.Raw):
        value = raw.get("value") if isinstance(raw, dict) else None
        if isinstance(value, float):
            check_value(value)
        try:
            raw = msgspec.json.encode(raw)
        except (UnicodeEncodeError, OverflowError, RecursionError) as error:
            raise Invalid("bad_text", f"not storable as text: {error}") from error
    try:
        sample = decode_sample(raw)
    except UNREADABLE as error:
        raise Invalid(_reason(error), readable(error)) from error
    check_value(sample.value)
    if numeric and not isinstance(sample.value, float):
        raise Invalid("bad_value", "the points of a run are numbers")
    return sample


def _reason(error: Exception) -> str:
    """The field that msgspec complains about, as a stable word."""
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return "bad_utf8"
    if "out of range" in text and "$.value" in text:
        return "not_finite"
    for name in ("name", "value", "labels", "timestamp"):
        if f"`$.{name}`" in text or f"field `{name}`" in text:
            return f"bad_{name}"
    return "bad_sample"
