"""Who publishes the outbox: from memory while that is in order, and in order whatever happens."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from schemas.batches import Source
from schemas.errors import Temporary
from schemas.watched import Place
from sinks.watched import Lane, Outbox, Parcel
from stream.ingest.metrics import WatchedMetrics
from stream.ingest.publishing import Pace, Publisher

SOURCES = [Source("samples", number) for number in range(2)]
PARTITIONS = 2
PACE = Pace(sweep=0.02, pause=0.001, patience=0.005, gathers=0.002, at_once=2)
RARELY = ["taken over", "forgetful", "a while"]


class Installation:
    """An outbox and a topic in memory, whose next answers can be made to fail, and who publishes."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.rows: defaultdict[Lane, list[Parcel]] = defaultdict(list)
        self.log: defaultdict[int, list[Parcel]] = defaultdict(list)
        self.committed: defaultdict[Lane, list[Place]] = defaultdict(list)
        self.failing: set[str] = set()
        self.slow: set[Lane] = set()
        self.reads = 0
        self.deletions = 0
        self.count = PARTITIONS
        self.publisher = Publisher(
            cast("Outbox", self),
            self,
            "watched",
            metrics=WatchedMetrics(CollectorRegistry()),
            pace=pace,
        )

    def _fail(self, what: str) -> None:
        if what in self.failing:
            self.failing.remove(what)
            raise Temporary(what)

    async def waiting(
        self, sources: Iterable[Source], partitions: int, most: int
    ) -> dict[Lane, list[Parcel]]:
        """See `Outbox`."""
        self.reads += 1
        found = {
            lane: rows[:most]
            for lane, rows in self.rows.items()
            if lane.source in set(sources) and lane.partition < partitions and rows
        }
        await asyncio.sleep(0)  # a database answers later, and others have their turn
        self._fail("read")
        return found

    async def published(self, parcels: Sequence[Parcel]) -> None:
        """See `Outbox`."""
        self.deletions += 1
        await asyncio.sleep(0)  # as above
        self._fail("delete")
        for parcel in parcels:
            with suppress(ValueError):
                self.rows[parcel.lane].remove(parcel)

    async def expire(self, after: timedelta) -> int:
        """See `Outbox`."""
        del after
        return 0

    async def backlog(self) -> tuple[int, float]:
        """See `Outbox`."""
        return 0, 0.0

    def partitions(self, topic: str) -> int:
        """See `Producer`."""
        del topic
        return self.count

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> Awaitable[Any]:
        """See `Producer`. What is sent is in the log at once, and acknowledged later."""
        del topic, headers
        self._fail("send")
        parcel = next(
            parcel
            for lane, places in self.rows.items()
            for parcel in places
            if parcel.payload == value
            and lane.partition == partition
            and key == f"{lane.source.topic}/{lane.source.partition}".encode()
        )
        self.log[parcel.lane.partition].append(parcel)
        late = parcel.lane in self.slow
        self.slow.discard(parcel.lane)
        # The broker's answer: soon, or after the publisher's patience.
        return asyncio.create_task(asyncio.sleep(0.008 if late else 0))

    def commit(self, source: Source, *, ours: bool = True) -> None:
        """A batch of a source, with a record for each partition of the topic; ours is handed over."""
        posted = []
        for partition in range(PARTITIONS):
            lane = Lane(source, partition)
            start = 1 + max((place.start for place in self.committed[lane]), default=0)
            parcel = Parcel(lane, Place(1, start, 0), f"{lane} {start}".encode())
            self.rows[lane].append(parcel)
            self.committed[lane].append(parcel.place)
            posted.append(parcel)
        if ours:
            self.publisher.hand_over(posted)

    def heard(self) -> dict[Lane, list[Place]]:
        """What a reader of the topic takes: of each source in the order of places, repetitions dropped."""
        found: defaultdict[Lane, list[Place]] = defaultdict(list)
        for records in self.log.values():
            for lane, place, _ in records:
                if not found[lane] or place > found[lane][-1]:
                    found[lane].append(place)
        return found

    @asynccontextmanager
    async def running(self) -> Any:
        """Publish inside the block, and to the end of what waits behind it."""
        task = asyncio.create_task(self.publisher.run())
        try:
            yield
            while any(self.rows.values()):  # noqa: ASYNC110 # nobody tells when the outbox is empty
                await asyncio.sleep(0.001)  # as there is no event to wait for
        finally:
            task.cancel()
            await asyncio.wait([task])


async def caught_up(installation: Installation) -> None:
    """Nothing waits, and the publisher knows."""
    installation.publisher.take_over(SOURCES)
    await installation.publisher.flush()
    installation.reads = 0


async def test_what_is_posted_here_is_not_read_back() -> None:
    """Neither the first batch nor those behind it, in whatever number."""
    installation = Installation()
    await caught_up(installation)
    for _ in range(5):
        installation.commit(SOURCES[0])
        installation.commit(SOURCES[0])
        await installation.publisher.flush()
    assert installation.reads == 0
    assert installation.heard() == installation.committed
    assert not any(installation.rows.values())


@pytest.mark.parametrize("doubt", ["another's commit", "too many", "send", "partitions"])
async def test_what_leaves_the_order_in_doubt_is_read_from_the_outbox(doubt: str) -> None:
    """Until it has no more; from then on memory serves again."""
    installation = Installation()
    await caught_up(installation)
    if doubt == "another's commit":
        installation.commit(SOURCES[0], ours=False)
        installation.publisher.wake([SOURCES[0]])
    if doubt == "partitions":
        installation.count = 1
        installation.commit(SOURCES[0], ours=False)
        await installation.publisher.flush()
        installation.count = PARTITIONS
    if doubt == "send":
        installation.failing = {"send"}
    for _ in range(3 if doubt == "too many" else 1):
        installation.commit(SOURCES[0])
    with suppress(Temporary):
        await installation.publisher.flush()
    await installation.publisher.flush()
    assert installation.reads > 0
    installation.reads = 0
    installation.commit(SOURCES[0])
    await installation.publisher.flush()
    assert installation.heard() == installation.committed
    assert installation.reads == 0


async def test_a_lane_that_is_left_behind_keeps_its_order() -> None:
    """The broker is slow with the first of two records: the third does not pass the second."""
    installation = Installation()
    await caught_up(installation)
    installation.slow.add(Lane(SOURCES[0], 0))
    for _ in range(2):
        installation.commit(SOURCES[0])
    await installation.publisher.flush()
    installation.commit(SOURCES[0])
    await installation.publisher.flush()
    await asyncio.sleep(0.02)  # longer than the broker takes
    await installation.publisher.flush()
    assert installation.heard() == installation.committed


async def test_what_is_published_is_taken_out_of_the_outbox_together() -> None:
    """Of many batches in one statement, and at once when somebody waits for it."""
    installation = Installation(replace(PACE, sweep=60, gathers=60))
    await caught_up(installation)
    installation.deletions = 0
    task = asyncio.create_task(installation.publisher.run())
    for number in range(1, 6):
        installation.commit(SOURCES[0])
        for _ in range(50):
            await asyncio.sleep(0)  # a turn, not a wait: nobody tells that the publisher is idle
        assert len(installation.log[0]) == number
    assert installation.deletions == 0
    task.cancel()
    await asyncio.wait([task])
    await installation.publisher.flush()
    assert installation.deletions == 1
    assert not any(installation.rows.values())


async def test_a_flush_takes_out_what_kafka_has_though_it_refused_the_rest() -> None:
    """The next process is left with what was not published, and with nothing else."""
    installation = Installation(replace(PACE, gathers=60))
    await caught_up(installation)
    installation.failing = {"send"}
    installation.commit(SOURCES[0])
    with pytest.raises(Temporary):
        await installation.publisher.flush()
    assert sum(map(len, installation.rows.values())) == PARTITIONS - 1


async def test_what_was_under_way_when_it_was_stopped_is_published_by_the_flush() -> None:
    """A stop cancels the publisher, and flushes then: nothing is left for the next process."""
    installation = Installation()
    await caught_up(installation)
    installation.slow.add(Lane(SOURCES[0], 0))
    task = asyncio.create_task(installation.publisher.run())
    installation.commit(SOURCES[0])
    while not installation.log[0]:  # noqa: ASYNC110 # nobody tells that something is on its way
        await asyncio.sleep(0)  # as there is no event to wait for
    task.cancel()
    await asyncio.wait([task])
    await installation.publisher.flush()
    assert not any(installation.rows.values())
    assert installation.heard() == installation.committed


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [*["ours"] * 3, "another's", "send", "read", "delete", "slow", *RARELY]
            ),
            st.sampled_from(SOURCES),
            st.integers(0, 12),
        ),
        max_size=40,
    )
)
def test_a_reader_hears_all_of_it_in_order(steps: list[tuple[str, Source, int]]) -> None:
    """Whoever commits, whatever fails, and however many turns of the loop lie in between."""

    async def run() -> None:
        installation = Installation()
        installation.publisher.take_over(SOURCES)
        async with installation.running():
            for what, source, turns in steps:
                match what:
                    case "ours":
                        installation.commit(source)
                    case "another's":
                        # Our next batch finds that it was overtaken before it commits.
                        installation.commit(source, ours=False)
                        installation.publisher.wake([source])
                    case "slow":
                        installation.slow.add(Lane(source, turns % PARTITIONS))
                    case "taken over":
                        installation.publisher.take_over([source])
                        installation.publisher.take_over(SOURCES)
                    case "forgetful":
                        installation.count = PARTITIONS - installation.count
                    case "a while":
                        await asyncio.sleep(0.002 * turns)  # drawn: sweeps lie in it
                    case _:
                        installation.failing.add(what)
                for _ in range(turns):
                    await asyncio.sleep(0)  # drawn: how far the publisher comes meanwhile
            installation.count = PARTITIONS
        assert installation.heard() == {k: v for k, v in installation.committed.items() if v}

    asyncio.run(run())
