"""Figures of the read API are those of the raw samples, whatever they were read from, in both modes."""

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from query.subject import REACH
from tests.leaks.databases import MODES, migrated_database
from tests.lifecycle import Stored, stored
from tests.sites import NOW, Site, serving

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIDDLE = NOW - 2 * DAY - 17 * MINUTE
"""Up to about here rollups are stored; what comes after is computed from what they are made of."""
NUMBERS = ("count", "avg", "min", "max", "sum")
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

Sample = tuple[datetime, str, float]
Figure = dict[str, float]


@dataclass
class Bench:
    """A database with the read API over it, and metrics that no two examples share."""

    site: Site
    store: Stored
    names: Iterable[int] = field(default_factory=count)

    def name(self) -> str:
        """A new metric's name."""
        return f"m{next(iter(self.names))}"

    async def put(self, name: str, samples: Sequence[Sample]) -> None:
        """Store samples of a metric, each host a series."""
        for host in {host for _, host, _ in samples}:
            points = [(at, value) for at, one, value in samples if one == host]
            await self.site.store("acme", name, {"host": host}, *points)

    async def series(self, name: str, **asked: Any) -> dict[str, Any]:
        """The answer of /series."""
        return await self._get("series", name, asked)

    async def aggregate(self, name: str, **asked: Any) -> dict[str, Any]:
        """The answer of /aggregate."""
        return await self._get("aggregate", name, asked)

    async def _get(self, route: str, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        answer = await self.site.get(f"/api/v1/metrics/{route}/{name}", **asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(params=MODES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    with migrated_database(request) as dsn:
        async with serving(dsn) as site, stored(dsn) as store:
            yield Bench(site, store)


def expected(
    samples: Sequence[Sample],
    start: datetime,
    end: datetime,
    bucket: timedelta | None,
    group: Callable[[str], str],
) -> dict[tuple[datetime, str], list[float]]:
    """Numbers of [start, end) by bucket and group."""
    found: dict[tuple[datetime, str], list[float]] = defaultdict(list)
    for at, host, value in samples:
        if start <= at < end:
            found[_bucket(at, start, bucket), group(host)].append(value)
    return found


def expected_rates(
    samples: Sequence[Sample],
    start: datetime,
    end: datetime,
    bucket: timedelta,
    group: Callable[[str], str],
) -> dict[tuple[datetime, str], float]:
    """Increase a second: of each sample over the one before it in its series; a reset counts from zero."""
    found: dict[tuple[datetime, str], float] = defaultdict(float)
    for host in {host for _, host, _ in samples}:
        steps = sorted((at, value) for at, one, value in samples if one == host)
        steps = [step for step in steps if start - REACH <= step[0] < end]
        for (_, before), (at, value) in pairwise(steps):
            if at >= start:
                begin = _bucket(at, start, bucket)
                seconds = (min(begin + bucket, end) - max(begin, start)).total_seconds()
                grown = value - before if value >= before else value
                found[begin, group(host)] += grown / seconds
    return found


def _bucket(at: datetime, start: datetime, bucket: timedelta | None) -> datetime:
    return start if bucket is None else EPOCH + (at - EPOCH) // bucket * bucket


def figures(values: Sequence[float]) -> Figure:
    """All figures of some numbers, as their definitions have them."""
    return {
        "count": len(values),
        "avg": math.fsum(values) / len(values),
        "min": min(values),
        "max": max(values),
        "sum": math.fsum(values),
        **{name: float(np.quantile(values, share)) for name, share in SHARES.items()},
    }


def points(answer: dict[str, Any]) -> dict[tuple[datetime, str], float]:
    """Values of an answer of /series by bucket and group."""
    groups = answer["groups"] or [{"labels": {}, "points": answer["points"]}]
    return {
        (datetime.fromisoformat(point["timestamp"]), group["labels"].get("host", "")): point[
            "value"
        ]
        for group in groups
        for point in group["points"]
    }


# Few moments, so that timestamps repeat; three hours on either side of the middle, and one far off.
OFFSETS = st.one_of(
    st.sampled_from([-7201, -3600, -60, -1, 0, 1, 59, 60, 300, 3599, 3600]),
    st.integers(-3 * 3600, 3 * 3600),
    st.integers(-20 * 3600, 20 * 3600),
).map(lambda seconds: MIDDLE + timedelta(seconds=seconds))
VALUES = st.integers(0, 100).map(float) | st.floats(0.01, 1e6)
SAMPLES = st.lists(st.tuples(OFFSETS, st.sampled_from("abc"), VALUES), min_size=1, max_size=40)
EDGES = st.one_of(
    st.integers(-21 * 3600, 21 * 3600).map(lambda seconds: MIDDLE + timedelta(seconds=seconds)),
    st.integers(-21, 21).map(lambda hours: _bucket(MIDDLE + hours * HOUR, MIDDLE, HOUR)),
    OFFSETS,
)
RANGES = st.lists(EDGES, min_size=2, max_size=2, unique=True).map(sorted)
BUCKETS = st.sampled_from(
    [("30s", 30), ("1m", 60), ("7m", 420), ("15m", 900), ("1h", 3600), ("1d", 86_400)]
)
EXAMPLES = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@EXAMPLES
@given(early=SAMPLES, late=SAMPLES, range_=RANGES, bucket=BUCKETS, by=st.booleans())
async def test_figures_are_those_of_the_raw_samples(  # noqa: PLR0917 - hypothesis names them
    bench: Bench,
    early: list[Sample],
    late: list[Sample],
    range_: list[datetime],
    bucket: tuple[str, int],
    by: bool,
) -> None:
    """In order, late, twice at one time, before and after the watermark; edges on no grid at all."""
    name = bench.name()
    for batch in (early, late):
        await bench.put(name, batch)
        await bench.store.refresh(MIDDLE)
    samples, (start, end) = early + late, range_
    spelled, seconds = bucket
    width = timedelta(seconds=seconds)
    asked = {"start": start.isoformat(), "end": end.isoformat(), **({"by": "host"} if by else {})}

    def group(host: str) -> str:
        return host if by else ""

    wanted = {
        key: figures(values) for key, values in expected(samples, start, end, width, group).items()
    }
    for agg in (*NUMBERS, *SHARES):
        answer = await bench.series(name, bucket=spelled, agg=agg, **asked)
        assert answer["exact"]
        assert points(answer) == pytest.approx(
            {key: one[agg] for key, one in wanted.items()}, rel=1e-9
        )
    rates = await bench.series(name, bucket=spelled, agg="rate", **asked)
    assert rates["exact"]
    found = points(rates)
    assert all(value >= 0 for value in found.values())
    assert found == pytest.approx(expected_rates(samples, start, end, width, group), rel=1e-9)

    answer = await bench.aggregate(name, **asked)
    assert answer["exact"]
    whole = expected(samples, start, end, None, group)
    rows = {row["labels"].get("host", ""): row for row in answer["groups"] if row["count"]}
    assert rows.keys() == {host for _, host in whole}
    for (_, host), values in whole.items():
        assert {key: rows[host][key] for key in figures(values)} == pytest.approx(
            figures(values), rel=1e-9
        )


@EXAMPLES
@given(
    batches=st.lists(SAMPLES, min_size=3, max_size=3),
    range_=RANGES,
    bucket=BUCKETS,
    agg=st.sampled_from([*NUMBERS, *SHARES]),
)
async def test_what_is_remembered_never_hides_what_came_since(
    bench: Bench,
    batches: list[list[Sample]],
    range_: list[datetime],
    bucket: tuple[str, int],
    agg: str,
) -> None:
    """Every hour is past change each time that the same is asked, and late samples follow."""
    name = bench.name()
    start, end = range_[0], max(range_[1], range_[0] + 4 * HOUR)
    spelled, seconds = bucket
    asked = {"start": start.isoformat(), "end": end.isoformat(), "by": "host", "agg": agg}
    samples: list[Sample] = []
    for batch in batches:
        await bench.put(name, batch)
        samples += batch
        await bench.store.refresh(MIDDLE)
        await bench.store.pool.execute(
            "UPDATE hour_versions SET changed_at = changed_at - interval '3 hours'"
        )
        wanted = expected(samples, start, end, timedelta(seconds=seconds), lambda host: host)
        for _ in range(2):
            assert points(await bench.series(name, bucket=spelled, **asked)) == pytest.approx(
                {key: figures(values)[agg] for key, values in wanted.items()}, rel=1e-9
            )


async def test_each_source_gives_the_same(bench: Bench) -> None:
    """The coarser the question the coarser the source, down to the hour, and all of them agree."""
    name = bench.name()
    samples = [
        (NOW - 10 * DAY + at * 7 * MINUTE, host, math.sin(at) * 100 + 200)
        for at in range(2000)
        for host in "ab"
    ]
    await bench.put(name, samples)
    await bench.store.refresh(NOW - HOUR / 2)
    start, end = NOW - 9 * DAY + timedelta(seconds=3.5), NOW - timedelta(seconds=0.5)
    sources = {}
    for spelled, width in (("90s", 90), ("3m", 180), ("10m", 600), ("2h", 7200), ("1d", 86_400)):
        asked = {"start": start.isoformat(), "end": end.isoformat(), "bucket": spelled}
        if width == 90:
            asked["start"] = (end - DAY).isoformat()
        first = datetime.fromisoformat(asked["start"])
        for agg in NUMBERS:
            answer = await bench.series(name, agg=agg, **asked)
            sources[spelled] = answer["source"]
            numbers = expected(samples, first, end, timedelta(seconds=width), lambda _: "")
            assert points(answer) == pytest.approx(
                {key: figures(values)[agg] for key, values in numbers.items()}, rel=1e-9
            )
    assert sources == {"90s": "raw", "3m": "1m", "10m": "5m", "2h": "1h", "1d": "1h"}


async def test_percentiles_of_long_ranges_come_from_sketches(bench: Bench) -> None:
    """Of a histogram, within the error that the answer states; of short ranges, and of others, exact."""
    sketched, plain = bench.name(), bench.name()
    await bench.site.admin.execute(
        "INSERT INTO definitions (tenant_id, name, type, aggregation, unit, display_name) "
        "VALUES ($1, $2, 'histogram', 'p95', 'ms', 'Latency')",
        bench.site.tenants["acme"],
        sketched,
    )
    chance = np.random.default_rng(7)
    samples = [
        (NOW - 5 * DAY + at * 2 * MINUTE, host, float(value))
        for host in "ab"
        for at, value in enumerate(chance.lognormal(3, 1, 3600))
    ]
    for name in (sketched, plain):
        await bench.put(name, samples)
    await bench.store.refresh(NOW - HOUR / 2)
    start, end = NOW - 4 * DAY - timedelta(seconds=77), NOW - timedelta(seconds=41)
    asked = {"start": start.isoformat(), "end": end.isoformat()}

    answer = await bench.series(sketched, bucket="6h", by="host", **asked)
    assert (answer["agg"], answer["source"], answer["exact"]) == ("p95", "sketch_1h", False)
    assert (answer["unit"], answer["display_name"]) == ("ms", "Latency")
    wanted = expected(samples, start, end, 6 * HOUR, str)
    assert points(answer) == pytest.approx(
        {key: figures(values)["p95"] for key, values in wanted.items()},
        rel=answer["relative_error"] + 1e-9,
    )
    whole = figures([value for values in wanted.values() for value in values])
    total = await bench.aggregate(sketched, **asked)
    assert (total["source"], total["percentile_source"]) == ("1h", "sketch_1h")
    (row,) = total["groups"]
    for figure, exactly in whole.items():
        rel = total["relative_error"] + 1e-9 if figure in SHARES else 1e-9
        assert row[figure] == pytest.approx(exactly, rel=rel)

    for name, more in (
        (plain, {}),
        (sketched, {"start": (end - 11 * HOUR).isoformat()}),
        (sketched, {"bucket": "90m"}),
    ):
        exact = await bench.series(name, **{"bucket": "6h", "agg": "p95", **asked, **more})
        assert (exact["source"], exact["exact"], exact["relative_error"]) == ("raw", True, None)


async def test_a_metric_without_sketches_yet_is_read_raw(bench: Bench) -> None:
    """Defined a moment ago: its samples are there, its sketches are not, and the answer says so."""
    name = bench.name()
    await bench.put(name, [(NOW - 2 * DAY + at * HOUR, "a", float(at)) for at in range(47)])
    await bench.store.refresh(NOW - HOUR / 2)
    await bench.site.admin.execute(
        "INSERT INTO definitions (tenant_id, name, type, aggregation) VALUES ($1, $2, 'summary', 'p50')",
        bench.site.tenants["acme"],
        name,
    )
    asked = {"start": (NOW - 2 * DAY).isoformat(), "bucket": "1d"}
    answer = await bench.series(name, **asked)
    assert (answer["source"], answer["exact"]) == ("raw", True)
    assert "not made yet" in answer["reason"]
    await bench.store.refresh(NOW)
    assert (await bench.series(name, **asked))["source"] == "sketch_1h"


async def test_rates_of_long_ranges_are_estimated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the raw samples are too many: exact without resets, never negative with them, and said."""
    monkeypatch.setattr("query.aggregates.MOST_RAW", 100)
    name, start = bench.name(), NOW - DAY
    samples = [
        (start + at * MINUTE, host, float((at + offset) * pace % limit))
        for host, pace, limit, offset in (("a", 2, 1e9, 0), ("b", 3, 1500, 100))
        for at in range(1440)
    ]
    await bench.put(name, samples)
    await bench.store.refresh(NOW - HOUR / 2)
    answer = await bench.series(name, agg="rate", bucket="2h", by="host", start=start.isoformat())
    assert (answer["source"], answer["exact"]) == ("1h", False)
    assert "raw samples are too many" in answer["reason"]
    wanted = expected_rates(samples, start, NOW, 2 * HOUR, str)
    found = points(answer)
    assert {key for key in found if key[1] == "a"} == {key for key in wanted if key[1] == "a"}
    for key, value in found.items():
        if key[1] == "a":
            assert value == pytest.approx(wanted[key], rel=0.01)
        else:
            assert 0 <= value <= 1.2 * wanted[key]


async def test_what_is_gone_is_answered_from_what_is_left(bench: Bench) -> None:
    """Beyond raw retention: buckets, edges and points of minutes, and the answer says what it did."""
    name, begin = bench.name(), NOW - 40 * DAY
    samples = [(begin + at * timedelta(seconds=20), "a", float(at)) for at in range(600)]
    await bench.put(name, samples)
    await bench.store.refresh(begin + DAY)
    await bench.store.pool.execute("DELETE FROM samples")
    start, end = begin + timedelta(seconds=90), begin + HOUR + timedelta(seconds=10)
    asked = {"start": start.isoformat(), "end": end.isoformat()}
    first, last = begin + MINUTE, begin + HOUR + MINUTE

    answer = await bench.series(name, bucket="30s", agg="sum", **asked)
    assert (answer["degraded_from"], answer["degraded_to"]) == ("raw", "1m")
    assert (answer["source"], answer["bucket_seconds"]) == ("1m", 60)
    assert datetime.fromisoformat(answer["start"]) == first
    assert datetime.fromisoformat(answer["end"]) == last
    wanted = expected(samples, first, last, MINUTE, lambda _: "")
    assert points(answer) == {key: sum(values) for key, values in wanted.items()}

    page = await bench.site.get("/api/v1/data/points", name=name, limit=7, **asked)
    answer = page.json()
    assert (answer["source"], answer["degraded_from"], answer["degraded_to"]) == ("1m", "raw", "1m")
    assert "raw is kept from" in answer["reason"]
    seen = list(answer["points"])
    while answer["next_cursor"]:
        page = await bench.site.get(
            "/api/v1/data/points", name=name, limit=7, cursor=answer["next_cursor"], **asked
        )
        answer = page.json()
        assert answer["degraded_to"] == "1m"
        seen += answer["points"]
    by_minute = expected(samples, first, last, MINUTE, lambda _: "")
    assert [(datetime.fromisoformat(one["timestamp"]), one["sum"], one["n"]) for one in seen] == [
        (at, sum(values), len(values))
        for (at, _), values in sorted(by_minute.items(), reverse=True)
    ]
    lost = await bench.series(name, agg="p95", bucket="1h", **asked)
    assert (lost["exact"], lost["points"]) == (False, [])
    assert "histogram" in lost["reason"]
