"""What is remembered of settled hours: the answer is the one that reading all of it gives."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.columns import Points, micros
from query.parameters import TimeRange
from query.routing import Piece, Route
from query.series import Selection
from query.settled import Hours, Memory, is_worth_it

START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURS = 24
TENANT = UUID(int=1)


class Store:
    """Hours of two groups, with a value a bucket that changes with the hour's version; notes what is read."""

    def __init__(self, bucket: timedelta) -> None:
        self.bucket = bucket
        self.versions = np.zeros(HOURS, np.int64)
        self.read: list[tuple[int, int]] = []

    async def points(self, route: Route) -> Sequence[Points]:
        """Points of the route's pieces; odd hours have none of the second group."""
        at = [
            begin
            for piece in route.pieces
            for begin in range(micros(piece.start), micros(piece.end), micros(self.bucket))
        ]
        self.read += [(_hour(piece.start), _hour(piece.end)) for piece in route.pieces]
        hours = (np.array(at, np.int64) - micros(START)) // micros(HOUR)
        every = Points(np.array(at, np.int64), hours, self.versions[hours] + hours / 100)
        return [every, every.take(hours % 2 == 0)]


def _hour(moment: datetime) -> int:
    return (moment - START) // HOUR


async def ask(
    store: Store,
    memory: Memory,
    settled: Sequence[bool],
    first: int = 0,
    *,
    tenant: UUID = TENANT,
    later: timedelta = timedelta(0),
) -> Sequence[Points]:
    """Ask for hours of the store, those that are settled being what the database says."""
    hours = Hours(micros(START), np.where(settled, store.versions, -1))
    end = START + HOURS * HOUR
    recollection = memory.recollection(tenant, hours, end + later)
    asked = TimeRange(START + first * HOUR, end)
    route = Route(asked, store.bucket, "5m", (Piece("5m", asked.start, asked.end),))
    selection = Selection("m", [1, 2], [0, 1], [{}, {}])
    store.read.clear()
    return await recollection.completed(selection, route, "test", store.points)


SETTLED = st.lists(st.booleans(), min_size=HOURS, max_size=HOURS)
STEPS = st.lists(
    st.tuples(SETTLED, st.sets(st.integers(0, HOURS - 1), max_size=4), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


@given(steps=STEPS, minutes=st.sampled_from([5, 20, 60, 90, 120]))
async def test_an_answer_is_that_of_all_hours_as_they_are_now(
    steps: list[tuple[list[bool], set[int], int]], minutes: int
) -> None:
    """Whatever settles, changes, and is no longer asked for: nothing old, nothing twice, in order."""
    store, memory = Store(timedelta(minutes=minutes)), Memory()
    for settled, changed, first in steps:
        store.versions[list(changed)] += 1
        found = await ask(store, memory, settled, first * 6)
        asked = TimeRange(START + first * 6 * HOUR, START + HOURS * HOUR)
        whole = Route(asked, store.bucket, "5m", (Piece("5m", asked.start, asked.end),))
        for one, wanted in zip(found, await store.points(whole), strict=True):
            assert one.at.tolist() == wanted.at.tolist()
            assert one.value.tolist() == wanted.value.tolist()


async def test_the_next_look_reads_what_changed_and_what_may_change() -> None:
    """One hour of late samples, and the last two hours."""
    store, memory = Store(timedelta(minutes=5)), Memory()
    settled = [True] * (HOURS - 2) + [False] * 2
    await ask(store, memory, settled)
    assert store.read == [(0, HOURS)]
    await ask(store, memory, settled)
    assert store.read == [(HOURS - 2, HOURS)]
    store.versions[7] += 1
    await ask(store, memory, settled)
    assert store.read == [(7, 8), (HOURS - 2, HOURS)]
    await ask(store, memory, [True] * HOURS)
    assert store.read == [(HOURS - 2, HOURS)]
    await ask(store, memory, [True] * HOURS)
    assert store.read == []


async def test_nothing_is_remembered_for_more_than_an_hour() -> None:
    """Should the database have been late, against all rules, it is not for ever."""
    store, memory = Store(timedelta(minutes=5)), Memory()
    read = []
    for minutes in range(0, 180, 10):
        await ask(store, memory, [True] * HOURS, later=timedelta(minutes=minutes))
        if store.read:
            read.append(minutes)
    assert read[0] == 0
    assert [later - before for before, later in pairwise(read[1:])] == [60] * (len(read) - 2)
    assert len(read) in {3, 4}


async def test_what_many_hours_split_is_read_in_a_few_pieces() -> None:
    """Each piece is a question of its own: of 12 stretches the longest 3 are not asked for again."""
    store, memory = Store(timedelta(minutes=5)), Memory()
    await ask(store, memory, [hour % 2 == 0 for hour in range(HOURS)])
    await ask(store, memory, [hour % 2 == 0 for hour in range(HOURS)])
    assert len(store.read) == 3


async def test_tenants_and_buckets_share_nothing() -> None:
    """The same series of another tenant, which there can't be, would be read too."""
    store, memory = Store(timedelta(minutes=5)), Memory()
    await ask(store, memory, [True] * HOURS)
    await ask(store, memory, [True] * HOURS, tenant=UUID(int=2))
    assert store.read == [(0, HOURS)]
    store.bucket = timedelta(minutes=10)
    await ask(store, memory, [True] * HOURS)
    assert store.read == [(0, HOURS)]


@pytest.mark.parametrize("most", [0, 10_000])
async def test_the_memory_is_bounded(most: int) -> None:
    """A day of two groups in five minutes takes 12 kB: more than there is room for."""
    store, memory = Store(timedelta(minutes=5)), Memory(most)
    for _ in range(2):
        await ask(store, memory, [True] * HOURS)
        assert store.read == [(0, HOURS)]


async def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    """With room for two answers, the third takes the place of the second, which was not asked for again."""
    store, memory = Store(timedelta(minutes=5)), Memory(30_000)
    for tenant in (1, 2, 1, 3):
        await ask(store, memory, [True] * HOURS, tenant=UUID(int=tenant))
    seen = {}
    for tenant in (1, 3, 2):
        await ask(store, memory, [True] * HOURS, tenant=UUID(int=tenant))
        seen[tenant] = bool(store.read)
    assert seen == {1: False, 3: False, 2: True}


@pytest.mark.parametrize(
    ("hours", "worth"), [(1, False), (4, True), (24 * 365, True), (24 * 365 * 2, False)]
)
def test_versions_are_read_for_ranges_that_gain_by_it(hours: int, worth: bool) -> None:
    """An hour has nothing settled; of years the versions would be most of the answer."""
    assert is_worth_it(TimeRange(START, START + hours * HOUR)) is worth
