"""What the watched topic holds, told as its reader would see it, and what it should hold."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.batches import Source
from schemas.watched import Place, Watched, decode
from schemas.watched_rows import SLOT
from tests.ingestion import ARRIVES_WITHIN, Bench
from tests.kafka_log import records_of

Slot = tuple[str, str, int]
"""Name and labels of a series, and a half second."""


class Figures(NamedTuple):
    """Of the samples in a slot."""

    n: int
    sum: float
    min: float
    max: float
    first_ts: int
    last_ts: int


async def published(bench: Bench) -> None:
    """Wait until the outbox is empty."""
    async with asyncio.timeout(ARRIVES_WITHIN):
        while True:
            if not await bench.pool.fetchval("SELECT EXISTS (SELECT FROM watched_outbox)"):
                return
            await asyncio.sleep(0.05)


async def heard(bench: Bench) -> list[Watched]:
    """The records of the watched topic, but for those that were read before."""
    found = []
    last: dict[tuple[int, Source], Place] = {}
    for record in await records_of(bench.kafka, bench.topics.watched):
        one = decode(record.value)
        lane = record.partition, one.header.source
        if lane not in last or one.header.place > last[lane]:
            last[lane] = one.header.place
            found.append(one)
    return found


def told(records: Iterable[Watched]) -> dict[Slot, Figures]:
    """All that the records say, put together."""
    found: defaultdict[Slot, list[Figures]] = defaultdict(list)
    for record in records:
        series = {one.series_id: one for one in record.described()}
        rows = record.rows
        columns = (rows.n, rows.sum, rows.min, rows.max, rows.first_ts, rows.last_ts)
        for number, slot, *figures in zip(
            rows.series.tolist(), rows.slot.tolist(), *(c.tolist() for c in columns), strict=True
        ):
            one = series[number]
            found[one.name, one.labels, slot].append(Figures(*figures))
    return {slot: _together(figures) for slot, figures in found.items()}


def _together(figures: Sequence[Figures]) -> Figures:
    n, sums, least, most, first, last = zip(*figures, strict=True)
    return Figures(sum(n), math.fsum(sums), min(least), max(most), min(first), max(last))


async def stored(bench: Bench, metrics: Sequence[str]) -> dict[Slot, Figures]:
    """The same of the tables, for these metrics."""
    rows = await bench.pool.fetch(
        "SELECT s.name, s.labels::text, ceil(us / $2::numeric)::bigint, count(*), sum(v), min(v), max(v), min(us), max(us)"
        " FROM (SELECT series_id, (extract(epoch FROM ts) * 1000000)::bigint AS us, v_num AS v FROM samples"
        "       UNION ALL SELECT series_id, (extract(epoch FROM ts) * 1000000)::bigint, value FROM k6_samples) AS every"
        " JOIN series s USING (series_id) WHERE s.name = ANY ($1) GROUP BY 1, 2, 3",
        metrics,
        SLOT,
    )
    return {(name, labels, slot): Figures(*figures) for name, labels, slot, *figures in rows}


def check_same(heard: Mapping[Slot, Figures], stored: Mapping[Slot, Figures]) -> None:
    """Every sample of the tables once, and no other."""
    assert heard.keys() == stored.keys()
    for slot, figures in stored.items():
        total = heard[slot].sum
        assert math.isclose(total, figures.sum, rel_tol=1e-9)
        assert heard[slot]._replace(sum=figures.sum) == figures


async def check_exact(bench: Bench, metrics: Sequence[str]) -> list[Watched]:
    """Whatever is stored of these metrics is in the topic, once; returns the topic's records."""
    await published(bench)
    records = await heard(bench)
    check_same(told(records), await stored(bench, metrics))
    return records
