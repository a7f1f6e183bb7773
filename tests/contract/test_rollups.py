"""Rollups and sketches say what the samples say: whenever they came, in whatever order, however often."""

import math
import struct
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.contract.conftest import Storage
from tests.lifecycle import DAY, HOUR, MINUTE, VIEWS, Point, Stored, from_raw, stored

PAST = datetime(2025, 1, 30, tzinfo=UTC)
BEGAN = datetime(2031, 1, 30, tzinfo=UTC)
"""Ahead of now: what is stored is marked by the test alone."""
FRACTIONS = (0.5, 0.95, 0.99)
ERROR = 0.02
"""What is promised of a percentile out of a sketch, relative to the sample of that rank."""


@pytest.fixture
async def store(migrated: Storage) -> AsyncIterator[Stored]:
    """A database of each kind in turn."""
    async with stored(migrated.dsn, wasm=migrated.kind == "timescaledb-wasm") as found:
        yield found


def agree(
    found: Mapping[tuple[datetime, int], Sequence[float]], level: str, points: Sequence[Point]
) -> None:
    """Compare a level with what the points say."""
    expected = from_raw(level, points)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        v_max, v_min, v_sum, n = found[key]
        assert (v_max, v_min, n) == (max(values), min(values), len(values)), key
        # In floating point the order of adding matters; what is lost is small beside what was added.
        scale = math.fsum(map(abs, values))
        assert abs(v_sum - math.fsum(values)) <= 1e-12 * scale, key


def from_sketch(keys: Sequence[int], counts: Sequence[int], fraction: float) -> float:
    """The value of a rank, as the classes of DDSketch have it."""
    rank = math.ceil(fraction * sum(counts))
    at = int(np.searchsorted(np.cumsum(counts), rank))
    gamma = 1.01 / 0.99
    key = keys[at]
    return (
        0.0
        if key == 0
        else math.copysign(math.exp((abs(key) - 40000) * math.log(gamma)) * 0.99, key)
    )


def close(found: float, values: NDArray[np.float64], fraction: float) -> bool:
    """Whether a sketch's percentile is within the promise of the sample of that rank."""
    exact = float(np.percentile(values, fraction * 100, method="inverted_cdf"))
    return abs(found - exact) <= ERROR * abs(exact)


async def sketches(
    store: Stored, series: int, since: datetime
) -> dict[datetime, tuple[list[int], list[int]]]:
    """Keys and counts by hour; an hour that is partly stored comes as two rows, which are added up."""
    found: dict[datetime, Counter[int]] = defaultdict(Counter)
    query = "SELECT * FROM sketches_1h WHERE series_id = $1 AND bucket >= $2"
    for row in await store.pool.fetch(query, series, since):
        keys, counts = zip(*struct.iter_unpack(">iq", row["classes"]), strict=True)
        assert list(keys) == sorted(set(keys))
        assert sum(counts) == row["n"]
        found[row["bucket"]].update(dict(zip(keys, counts, strict=True)))
    return {
        hour: (sorted(merged), [merged[key] for key in sorted(merged)])
        for hour, merged in found.items()
    }


VALUES = st.one_of(
    st.integers(-1000, 1000).map(float),
    st.sampled_from([0.0, 1e200, -1e200, 1e-200, -1e-200, 0.1]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)
# Few minutes and seconds, so that timestamps repeat; up to 30 hours, so that days and partitions change.
BATCH = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 4, 59, 60, 61, 300, 1439, 1440, 1441, 1799]),
        st.integers(0, 3),
        VALUES,
    ),
    min_size=1,
    max_size=12,
)
ACTS = st.lists(
    st.one_of(BATCH, st.sampled_from(["refresh"]), st.integers(0, 1900)), min_size=1, max_size=8
)


class Play:
    """One example after the other in one database, each in days of its own."""

    def __init__(self, store: Stored, gauge: int, histogram: int) -> None:
        self.store = store
        self.gauge, self.histogram = gauge, histogram
        self.base = BEGAN
        self.points: list[Point] = []

    async def insert(self, batch: Sequence[tuple[int, int, float]], now: datetime) -> None:
        """Store samples of both series; those of minutes that are still open are seen at once."""
        fresh = [
            (self.base + minute * MINUTE + quarter * MINUTE / 4, series, value)
            for minute, quarter, value in batch
            for series in (self.gauge, self.histogram)
        ]
        await self.store.store(fresh)
        self.points += fresh
        shown = await self.store.rollup("1m", [self.gauge, self.histogram], self.base)
        for key, values in from_raw("1m", self.points).items():
            if key[0] >= now:
                assert shown[key][3] == len(values)

    async def compare(self) -> None:
        """Every level and every sketch against the points."""
        for level in VIEWS:
            agree(
                await self.store.rollup(level, [self.gauge, self.histogram], self.base),
                level,
                self.points,
            )
        hours = from_raw("1h", [p for p in self.points if p[1] == self.histogram])
        found = await sketches(self.store, self.histogram, self.base)
        assert found.keys() == {hour for hour, _ in hours}
        for (hour, _), values in hours.items():
            keys, counts = found[hour]
            assert sum(counts) == len(values)
            for fraction in FRACTIONS:
                value = from_sketch(keys, counts, fraction)
                assert close(value, np.array(values), fraction)


@pytest.fixture
async def play(store: Stored) -> Play:
    """Two metrics, one of them kept as sketches."""
    return Play(store, await store.series("gauge"), await store.series("latency", type="histogram"))


@settings(
    max_examples=10,
    # The database is shared by the examples; none looks at the days of another.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS)
async def test_every_level_equals_what_raw_says(play: Play, acts: list[object]) -> None:
    """Late, repeated and out-of-order samples count after the next refresh; open buckets at once."""
    play.base += 3 * DAY
    play.points = []
    now = play.base
    for act in acts:
        if isinstance(act, int):
            now = max(now, play.base + act * MINUTE)
        elif isinstance(act, list):
            await play.insert(act, now)
        else:
            await play.store.refresh(now)
            await play.compare()
    await play.store.refresh(play.base + 2 * DAY)
    await play.compare()
    stored_up_to = await play.store.pool.fetchval(
        "SELECT until FROM rollups WHERE level = 'sketch'"
    )
    assert stored_up_to == play.base + 2 * DAY - 10 * MINUTE
    assert await play.store.pool.fetchval("SELECT count(*) FROM rollup_dirty") == 0


async def test_a_plan_of_before_counts_nothing_twice(play: Play) -> None:
    """A prepared query keeps its plan while the sketch of the open hour grows, and hours are added."""
    await play.store.pool.execute("SET plan_cache_mode = force_generic_plan")
    await play.insert([(minute, 0, float(minute)) for minute in range(0, 180, 5)], play.base)
    for minutes in (35, 55, 75, 170):
        await play.store.refresh(play.base + minutes * MINUTE)
        await play.compare()


@pytest.mark.parametrize("name", ["normal", "lognormal", "signed", "zeros", "wide", "extreme"])
async def test_percentiles_of_a_sketch_are_within_two_percent(store: Stored, name: str) -> None:
    """Of the sample of that rank, for values of either sign, with zeros, and from 1e-200 to 1e200."""
    random = np.random.default_rng(11)
    size = 3000
    signs = random.choice([-1.0, 1.0], size)
    values: NDArray[np.float64] = {
        "normal": random.normal(250, 40, size),
        "lognormal": random.lognormal(3, 2, size),
        "signed": random.lognormal(3, 2, size) * signs,
        "zeros": random.exponential(5, size) * random.choice([0.0, 1.0], size, p=[0.6, 0.4]),
        "wide": 10 ** random.uniform(-200, 200, size),
        "extreme": random.choice([1e200, -1e200, 1e-200, -1e-200, 0.0], size),
    }[name]
    series = await store.series("latency", type="summary")
    await store.store([(BEGAN + i * HOUR / size, series, float(v)) for i, v in enumerate(values)])
    await store.refresh(BEGAN + DAY)
    keys, counts = (await sketches(store, series, BEGAN))[BEGAN]
    for fraction in (0.01, 0.1, *FRACTIONS):
        assert close(from_sketch(keys, counts, fraction), values, fraction)
    for key in keys:
        found = await store.pool.fetchval("SELECT sketch_value($1)", key)
        assert found == pytest.approx(from_sketch([key], [1], 1.0), rel=1e-12)


async def test_a_metric_defined_as_histogram_later_gets_its_sketches(store: Stored) -> None:
    """The samples that are there already are sketched by the next refresh, and not before."""
    series = await store.series("latency")
    await store.store([(PAST + i * HOUR, series, 1.0) for i in range(50)])
    await store.refresh(PAST + 3 * DAY)
    count = "SELECT count(*) FROM sketch_1h"
    assert await store.pool.fetchval(count) == 0
    await store.pool.execute(
        "INSERT INTO definitions (tenant_id, name, type, aggregation) VALUES ($1, 'latency', 'histogram', 'p95')",
        await store.tenant(),
    )
    await store.refresh(PAST + 3 * DAY + HOUR)
    assert await store.pool.fetchval(count) == 50


async def test_values_next_to_nothing_stop_no_refresh(store: Stored) -> None:
    """The smallest number there is can't be halved: its average is 0, and everybody's rollups go on."""
    tiny, usual = await store.series("tiny", type="histogram"), await store.series("usual")
    await store.store([(BEGAN, tiny, 5e-324), (BEGAN, tiny, 0.0), (BEGAN, usual, 4.0)])
    for now in (BEGAN, BEGAN + DAY):
        await store.refresh(now)
        for level in VIEWS:
            rows = await store.pool.fetch(f"SELECT * FROM samples_{level} ORDER BY series_id")  # noqa: S608 # 1m, 5m, 1h
            found = [(r["v_avg"], r["v_max"], r["v_min"], r["v_sum"], r["n"]) for r in rows]
            assert found == [(0.0, 5e-324, 0.0, 5e-324, 2), (4.0, 4.0, 4.0, 4.0, 1)]
    keys, counts = (await sketches(store, tiny, BEGAN))[BEGAN]
    assert (keys[0], counts) == (0, [1, 1])


async def test_versions_of_hours_change_with_what_is_stored(store: Stored) -> None:
    """Each mark of an hour counts once when it is taken, and is seen waiting before."""
    series = await store.series("gauge")
    version = "SELECT taken, waiting FROM hour_states($1, $2, false)"
    seen = []
    for minute in (0, 0, 61):
        await store.store([(BEGAN + minute * MINUTE, series, 1.0)])
        seen.append(tuple(await store.pool.fetchrow(version, BEGAN, BEGAN + HOUR)))
        await store.refresh(BEGAN + DAY)
        seen.append(tuple(await store.pool.fetchrow(version, BEGAN, BEGAN + HOUR)))
    assert seen == [(0, 1), (1, 0), (1, 1), (2, 0), (2, 0), (2, 0)]
