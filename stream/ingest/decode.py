"""Records to a batch: reads each by its format, numbers the series, checks time, sorts the rows."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol
from uuid import UUID

import numpy as np

from schemas import timestamps
from schemas.batches import Batch, Chunk, Record
from schemas.envelopes import ARROW_STREAM, IMPORT_HEADER
from schemas.errors import Invalid
from schemas.samples import MAX_MAGNITUDE
from schemas.series import Key, Series
from schemas.window import Window
from sinks.series import PastLimit, TenantGone
from stream.ingest.arrow_records import ArrowReader
from stream.ingest.draft import Cache, Draft, Tenants
from stream.ingest.json_records import JsonReader
from stream.ingest.segments import Segment, point_rows, sample_rows

log = logging.getLogger(__name__)

_SLICE = 64 << 10
"""Raw bytes that are read in one go, a millisecond's work: others have their turn in between."""


class Dictionary(Cache, Protocol):
    """Series numbers; `sinks.series.SeriesDictionary` is the real one."""

    async def epoch(self) -> int:
        """The count of deletions of series for which what is cached is good."""
        ...

    def forget(self, epoch: int) -> None:
        """Drop what was cached at that count."""
        ...

    def remember(self, tenant: UUID, key: Key, found: int | PastLimit, epoch: int) -> None:
        """Cache a number or a refusal, unless series were deleted since."""
        ...

    async def resolve(self, wanted: Sequence[Series]) -> list[int | PastLimit]:
        """Numbers from the database, made where they are new, or why they are not made."""
        ...


class RefreshedTenants(Tenants, Protocol):
    """Who may send; `sinks.tenants.KnownTenants` is the real one."""

    async def refresh(self, unknown: Collection[str] | None) -> bool:
        """Ask the database for these, if that is due; None: in any case."""
        ...


class Decoder:
    """Turns chunks into batches. `now` gives microseconds since the epoch."""

    def __init__(
        self,
        dictionary: Dictionary,
        tenants: RefreshedTenants,
        window: Window,
        now: Callable[[], int],
    ) -> None:
        self._dictionary = dictionary
        self._tenants = tenants
        self._window = window
        self._now = now

    async def decode(self, chunks: Sequence[Chunk]) -> Batch:
        """Decode the chunks of one transaction. Raises what the database's client raises."""
        records = [r for chunk in chunks for r in chunk.records]
        # Before the first look into the cache: what is found there is at least as new.
        epoch = await self._dictionary.epoch()
        while True:
            draft = await self._draft(records)
            try:
                await self._number(draft, epoch)
                break
            except TenantGone:
                # Deleted a moment ago: its records are a stranger's when we look again.
                await self._tenants.refresh(None)
        self._check_time(draft)
        _check_range(draft)
        return Batch(
            claims={chunk.source: chunk.claim for chunk in chunks},
            records=draft.records,
            samples=sample_rows([s for s in draft.segments if s.execution is None]),
            points=point_rows([s for s in draft.segments if s.execution is not None]),
            rejects=draft.rejects,
            refusals=draft.refusals,
            counts=[len(chunk.records) for chunk in chunks],
            series_epoch=epoch,
        )

    async def forget(self, epoch: int) -> None:
        """Series, and perhaps their tenants, were deleted since `epoch`: look all of them up again."""
        self._dictionary.forget(epoch)
        await self._tenants.refresh(None)

    async def _draft(self, records: list[Record]) -> Draft:
        draft = Draft(records, self._dictionary)
        await self._read(draft, range(len(records)))
        if draft.strangers:
            strangers, draft.strangers = draft.strangers, []
            if await self._tenants.refresh({spelling for _, spelling in strangers}):
                await self._read(draft, [index for index, _ in strangers])
                strangers = draft.strangers
            for index, _ in strangers:
                draft.reject(index, None, Invalid("unknown_tenant", "no such tenant_id"))
        return draft

    async def _read(self, draft: Draft, indexes: Sequence[int]) -> None:
        json = JsonReader(draft, self._dictionary, self._tenants)
        arrow = ArrowReader(draft, self._dictionary, self._tenants)
        size = 0
        for index in indexes:
            record, mark = draft.records[index], draft.mark()
            size += len(record.value or b"")
            if size > _SLICE:
                size = 0
                json.flush()
                await asyncio.sleep(0)  # a turn for others, not a wait
            try:
                if record.value is None:
                    draft.reject(index, None, Invalid("empty_record", "the record has no value"))
                elif record.headers and _is_arrow(record):
                    arrow.read(index, record.value)
                else:
                    json.read(index, record.value)
            except Exception as error:
                # A defect of ours, but one record must not stop all that come behind it for ever.
                log.exception(
                    "undecodable: %s/%s/%s", record.topic, record.partition, record.offset
                )
                draft.undo(mark)
                draft.reject(
                    index, None, Invalid("undecodable", f"{type(error).__name__}: {error}")
                )
        json.finish()

    async def _number(self, draft: Draft, epoch: int) -> None:
        unknown = draft.unknown()
        wanted = [series for _, _, series in unknown if not isinstance(series, Invalid)]
        numbers = iter(await self._dictionary.resolve(wanted)) if wanted else iter(())
        settled: list[int | Invalid] = []
        for tenant, key, series in unknown:
            if isinstance(series, Invalid):
                settled.append(series)
            else:
                number = next(numbers)
                self._dictionary.remember(tenant, key, number, epoch)
                settled.append(number)
        draft.settle(settled)

    def _check_time(self, draft: Draft) -> None:
        now = self._now()
        oldest, newest = self._window.bounds(now)
        imports, _ = self._window.bounds(now, imported=True)
        for position, segment in enumerate(list(draft.segments)):
            early = segment.ts < oldest
            if early.any():
                # Seldom: only then is it worth asking which records are imports.
                run = segment.execution is not None
                marked = np.array([run and is_import(draft.records[i]) for i in segment.record])
                early &= ~(marked & (segment.ts >= imports))
            wrong = early | (segment.ts > newest)
            draft.enforce(position, wrong, _time_error(segment, oldest))


def _check_range(draft: Draft) -> None:
    error = Invalid("out_of_range", f"value must be within ±{MAX_MAGNITUDE:g}")
    for position, segment in enumerate(list(draft.segments)):
        draft.enforce(position, np.abs(segment.numbers) > MAX_MAGNITUDE, lambda _: error)


def _time_error(segment: Segment, oldest: int) -> Callable[[int], Invalid]:
    def error(position: int) -> Invalid:
        ts = int(segment.ts[position])
        if ts == timestamps.UNREADABLE:
            return Invalid(
                "bad_timestamp", "timestamp is neither RFC 3339 with a zone nor milliseconds"
            )
        side = "too_old" if ts < oldest else "too_far_ahead"
        return Invalid(side, f"timestamp {timestamps.as_text(ts)} is outside the accepted window")

    return error


def _is_arrow(record: Record) -> bool:
    return any(key == "content-type" and value == ARROW_STREAM for key, value in record.headers)


def is_import(record: Record) -> bool:
    """Whether it is of a finished run that is imported: history, of any age."""
    return any(key == IMPORT_HEADER for key, _ in record.headers)
