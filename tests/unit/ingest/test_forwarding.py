"""What a batch forwards: which samples, in which records, and what an error costs."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.batches import Batch, Source
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Temporary
from schemas.watched import Watched, WatchedSeries, decode
from schemas.watched_rows import PARTS
from sinks.delivery import Written, forward_nothing
from sinks.watched import Parcel
from stream.core.watchlist import WatchedRule
from stream.ingest import parcels
from stream.ingest.forwarding import BEAT, Forwarding
from stream.ingest.metrics import WatchedMetrics
from stream.ingest.watching import Watching
from tests.unit.ingest.memory import (
    NOW,
    SOURCE,
    TENANT,
    MemoryDictionary,
    MemoryRecord,
    envelope,
    sample,
)
from tests.unit.ingest.memory import decode as decoded
from tests.watched import told

RUN = "00000000-0000-0000-0000-0000000000aa"


def rule(metric: str, host: str | None = None, *, percentile: bool = False) -> WatchedRule:
    """A rule of a metric, of one host or of all."""
    return WatchedRule(
        TENANT,
        metric,
        lambda labels: [host in {None, one.get("host")} for one in labels],
        PARTS if percentile else PARTS - {"values"},
    )


class Installation:
    """Rules and series in memory, and a forwarder over them."""

    def __init__(self, *rules: WatchedRule, partitions: int = 4) -> None:
        self.rules: Sequence[WatchedRule] | Exception = rules
        self.partitions = partitions
        self.series = MemoryDictionary()
        self.clock = 0.0
        self.asked = 0
        self.handed: list[Parcel] = []
        self.woken: list[Source] = []
        self.registry = CollectorRegistry()
        metrics = WatchedMetrics(self.registry)
        self.watching = Watching(
            self._rules,
            self._describe,
            lambda: self.partitions,
            metrics=metrics,
            clock=lambda: self.clock,
        )
        self.forwarding = Forwarding(
            self.watching,
            epochs={SOURCE: 3},
            metrics=metrics,
            publisher=self,
            clock=lambda: self.clock,
            now=lambda: NOW,
        )

    def hand_over(self, parcels: Sequence[Parcel]) -> None:
        """See `Publisher`."""
        self.handed += parcels

    def wake(self, sources: Iterable[Source]) -> None:
        """See `Publisher`."""
        self.woken += sources

    async def _rules(self) -> Sequence[WatchedRule]:
        if isinstance(self.rules, Exception):
            raise self.rules
        return self.rules

    async def _describe(
        self, ids: Sequence[int], metrics: Collection[tuple[UUID, str]]
    ) -> Sequence[WatchedSeries]:
        self.asked += len(ids)
        found = [(number, self.series.series[number]) for number in ids]
        return [
            WatchedSeries(number, one.tenant_id, one.name, one.labels)
            for number, one in found
            if (one.tenant_id, one.name) in metrics
        ]

    async def batch(self, *values: bytes | MemoryRecord) -> Batch:
        """A batch of these records."""
        return await decoded(*values, dictionary=self.series)

    async def forward(self, *values: bytes | MemoryRecord) -> list[Parcel]:
        """What a batch of these records forwards."""
        batch = await self.batch(*values)
        forward = await self.forwarding.prepare(batch)
        return list(forward(batch.samples, batch.points))

    def failures(self, what: str) -> float:
        """How often this went wrong."""
        name = "headrace_ingest_watched_failures_total"
        return self.registry.get_sample_value(name, {"what": what}) or 0.0


def records(found: Sequence[Parcel]) -> list[Watched]:
    return [decode(parcel.payload) for parcel in found]


def values(found: Sequence[Parcel]) -> dict[tuple[str, str], tuple[int, float]]:
    """Name and labels to number and sum of what was forwarded."""
    every = told(records(found))
    return {(name, labels): (f.n, f.sum) for (name, labels, _), f in every.items()}


async def test_without_a_rule_nothing_is_done() -> None:
    """Nothing is looked up, and a batch goes as it would without any of this."""
    installation = Installation()
    batch = await installation.batch(envelope(sample()))
    assert await installation.forwarding.prepare(batch) is forward_nothing
    assert installation.asked == 0


async def test_samples_and_points_of_watched_series_are_forwarded_and_no_others() -> None:
    """Numbers as they are, true as 1; texts are none, and imports are history."""
    installation = Installation(rule("cpu", "a"), rule("up"))
    found = await installation.forward(
        envelope(sample(value=2), sample(value=3), sample(value=9, labels={"host": "b"})),
        envelope(sample(name="up", value=True), sample(name="up", value="yes"), sample(name="z")),
        envelope(sample(value=5), execution_id=RUN),
        MemoryRecord(
            envelope(sample(value=100), execution_id=RUN), headers=[(IMPORT_HEADER, b"1")]
        ),
    )
    assert values(found) == {("cpu", '{"host":"a"}'): (3, 10.0), ("up", '{"host":"a"}'): (1, 1.0)}
    lanes = {parcel.lane for parcel in found}
    assert {lane.source for lane in lanes} == {SOURCE}
    for one, parcel in zip(records(found), found, strict=True):
        assert one.header.source == SOURCE
        assert (one.header.start, one.header.end) == (0, 4)
        assert one.header.place == parcel.place == (3, 0, 0)


async def test_a_series_of_samples_and_of_two_runs_is_one_in_the_order_of_time() -> None:
    """Whoever sent them: stored they stand one behind the other, and each begins at its own time."""
    installation = Installation(rule("cpu"))
    at = NOW // 1_000_000 * 1000
    found = await installation.forward(
        *(
            envelope(
                *(sample(value=value, timestamp=at + ms) for value, ms in sent), execution_id=run
            )
            for run, sent in (
                (None, [(1, 100), (8, 700)]),
                (RUN, [(2, 200), (16, 800)]),
                (RUN[:-2] + "bb", [(4, 50), (32, 650)]),
            )
        )
    )
    (record,) = records(found)
    assert record.rows.n.tolist() == [3, 3]
    assert record.rows.sum.tolist() == [7.0, 56.0]
    assert record.rows.first.tolist() == [4.0, 32.0]
    assert record.rows.last.tolist() == [2.0, 16.0]


async def test_each_series_is_looked_at_once_until_the_rules_change() -> None:
    """A batch of known series costs no question; a changed rule is heard of."""
    installation = Installation(rule("cpu"))
    await installation.forward(envelope(sample(), sample(name="other")))
    assert installation.asked == 2
    await installation.forward(envelope(sample(), sample(labels={"host": "new"})))
    assert installation.asked == 3
    installation.rules = [rule("cpu", "a", percentile=True)]
    installation.watching.ask_again()
    (record,) = records(await installation.forward(envelope(sample(value=1), sample(value=4))))
    assert installation.asked == 4
    assert record.rows.exact.tolist() == [1, 4]


async def test_only_what_a_rule_asks_for_is_forwarded() -> None:
    """Of all rules together, as they are now."""
    first, second = rule("cpu")._replace(parts={"max"}), rule("disk")._replace(parts={"sum"})
    installation = Installation(first)
    sent = envelope(sample(value=2), sample(value=5), sample(value=3, labels={"host": "b"}))
    (record,) = records(await installation.forward(sent))
    assert record.rows.max.tolist() == [5, 3]
    np.testing.assert_array_equal(record.rows.sum, [np.nan, 3])
    installation.rules = [first, second]
    installation.watching.ask_again()
    (record,) = records(await installation.forward(sent))
    assert (record.rows.max.tolist(), record.rows.sum.tolist()) == ([5, 3], [7, 3])
    np.testing.assert_array_equal(record.rows.min, [np.nan, 3])


async def test_a_record_that_grows_too_large_comes_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Together they say all; only the last one says how far the source is."""
    monkeypatch.setattr(parcels, "PART_BYTES", 1000)
    installation = Installation(rule("cpu", percentile=True), partitions=1)
    sent = [sample(value=i, labels={"host": str(i % 7)}) for i in range(300)]
    found = await installation.forward(envelope(*sent))
    assert [parcel.place for parcel in found] == [(3, 0, part) for part in range(len(found))]
    assert len(found) > 1
    assert sum(n for n, _ in values(found).values()) == 300
    assert sum(total for _, total in values(found).values()) == sum(range(300))
    newest = [one.header.newest for one in records(found)]
    assert newest == [None] * (len(found) - 1) + [NOW]
    kept = np.concatenate([one.rows.exact for one in records(found)])
    assert sorted(kept.tolist()) == list(range(300))


async def test_a_lane_hears_twice_a_second_how_far_its_source_is() -> None:
    """Of samples that nobody watches only the newest time goes on, and none beyond the clock."""
    installation = Installation(rule("cpu"))
    ahead = sample(name="other", timestamp=NOW // 1000 + 60_000)
    (first,) = records(await installation.forward(envelope(ahead)))
    assert (len(first.rows), first.header.newest) == (0, NOW)
    assert await installation.forward(envelope(ahead)) == []
    installation.clock += BEAT
    assert len(await installation.forward(envelope(ahead))) == 1
    assert await installation.forward() == []


async def test_a_writer_that_is_asked_twice_gives_the_same_answer() -> None:
    """A transaction that failed is tried again with what it was given."""
    installation = Installation(rule("cpu"))
    batch = await installation.batch(envelope(sample(), sample(name="other")))
    forward = await installation.forwarding.prepare(batch)
    assert list(forward(batch.samples, batch.points)) == list(forward(batch.samples, batch.points))


async def test_rules_that_cannot_be_read_leave_those_of_before_in_force() -> None:
    """They are asked for again after a while, not with every batch."""
    installation = Installation(rule("cpu"))
    await installation.forward(envelope(sample()))
    good, installation.rules = installation.rules, ValueError("broken")
    installation.watching.ask_again()
    for _ in range(3):
        assert len(await installation.forward(envelope(sample()))) == 1
    assert installation.failures("rules") == 1
    installation.rules = good
    installation.clock += 60
    assert len(await installation.forward(envelope(sample()))) == 1
    assert installation.failures("rules") == 1


async def test_rules_that_change_while_two_batches_ask_are_those_of_the_third() -> None:
    """One is written anew beside the next: what it learns late does not bring the old rules back."""
    hosts, asking = "ab", list[asyncio.Event]()

    class Slow(Installation):
        async def _describe(
            self, ids: Sequence[int], metrics: Collection[tuple[UUID, str]]
        ) -> Sequence[WatchedSeries]:
            if len(asking) < len(hosts):
                asking.append(asyncio.Event())
                await asking[-1].wait()
            return await super()._describe(ids, metrics)

    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)  # a turn, not a wait: who has to wait for another tells nobody

    installation = Slow(rule("cpu"))
    first, second = [
        await installation.batch(envelope(sample(labels={"host": host}))) for host in hosts
    ]
    tasks = [asyncio.create_task(installation.forwarding.prepare(first))]
    await turns()
    installation.rules = [rule("disk")]
    installation.watching.ask_again()
    tasks.append(asyncio.create_task(installation.forwarding.prepare(second)))
    while not all(task.done() for task in tasks):
        await turns()
        for event in reversed(asking):
            event.set()
            await turns()
    assert await installation.forward(envelope(sample(labels={"host": "a"}))) == []


async def test_an_outage_of_the_database_is_waited_for_with_the_batch() -> None:
    """As the batch itself would: nothing is skipped."""
    installation = Installation(rule("cpu"))
    installation.rules = ConnectionRefusedError()
    batch = await installation.batch(envelope(sample()))
    with pytest.raises(Temporary):
        await installation.forwarding.prepare(batch)
    installation.rules = [rule("cpu")]
    assert len((await installation.forwarding.prepare(batch))(batch.samples, batch.points)) == 1


async def test_whatever_else_goes_wrong_costs_the_alerts_and_not_the_batch() -> None:
    """A matcher that raises, a topic that nobody knows, columns that make no sense: told, and skipped."""

    def raises(_: object) -> Sequence[bool]:
        raise ValueError("defect")

    installation = Installation(rule("cpu")._replace(match=raises))
    assert await installation.forward(envelope(sample())) == []
    assert installation.failures("batch") == 1
    installation = Installation(rule("cpu"), partitions=0)
    assert await installation.forward(envelope(sample())) == []
    installation.partitions = 4
    batch = await installation.batch(envelope(sample()))
    forward = await installation.forwarding.prepare(batch)
    broken = replace(batch.samples, record=np.array([7], np.int32))
    assert list(forward(broken, batch.points)) == []
    assert installation.failures("batch") == 2


async def test_who_publishes_is_handed_what_a_commit_posted() -> None:
    """And nothing else; a batch whose posting was refused is told."""
    installation = Installation(rule("cpu"))
    posted = await installation.forward(envelope(sample()))
    commit = installation.forwarding.committed
    commit(Written(1, 0, 0))
    commit(Written(1, 0, 0, unposted=True))
    assert installation.handed == []
    assert installation.failures("batch") == 1
    commit(Written(1, 0, 0, posted=posted))
    assert installation.handed == posted
    assert installation.woken == []


async def test_what_another_stored_is_looked_for_in_the_outbox() -> None:
    """It was posted there, and handed to nobody here."""
    installation = Installation()
    installation.forwarding.overtaken([SOURCE])
    assert installation.woken == [SOURCE]
