"""What the API remembers of settled hours, over a real database: when it may, and what ends it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from deploy.bench.query_rows import Watched
from query.api import create_api
from schemas.lifecycle import floor
from sinks.keys import DatabaseKeyring
from tests.lifecycle import HOUR, MINUTE, Stored, stored
from tests.sites import NOW, Site, serving

FROM = NOW - 12 * HOUR


@dataclass(frozen=True)
class Bench:
    """The API over what is stored, and what it read of it."""

    site: Site
    store: Stored
    watched: Watched
    client: httpx.AsyncClient

    @property
    def read(self) -> list[tuple[int, int]]:
        """Hours of samples that the last request read, counted from FROM."""
        return [
            ((arguments[2] - FROM) // HOUR, (arguments[3] - FROM) // HOUR)
            for name, arguments in self.watched.seen
            if name.startswith(("numbers_", "percentiles_", "classes_"))
        ]

    async def ask(self, who: str = "acme", **asked: Any) -> list[dict[str, Any]]:
        """Points of the last twelve hours."""
        self.watched.seen.clear()
        answer = await self.client.get(
            "/api/v1/metrics/series/cpu",
            params={"bucket": "5m", "start": FROM.isoformat(), "end": NOW.isoformat(), **asked},
            headers={"X-API-Key": self.site.keys[who]},
        )
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["points"]
        return found

    async def settle(self) -> None:
        """Refresh, and let two hours go by."""
        await self.store.refresh(NOW)
        await self.store.pool.execute(
            "UPDATE hour_versions SET changed_at = changed_at - interval '121 minutes'"
        )


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    """Two tenants with twelve hours of the same metric, a sample a quarter of an hour."""
    async with serving(database) as site, stored(database) as store:
        watched = Watched(site.database)
        api = create_api(
            DatabaseKeyring(site.reader), watched, registry=CollectorRegistry(), clock=lambda: NOW
        )
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            for who in ("acme", "other"):
                points = [(FROM + n * 15 * MINUTE, float(n)) for n in range(48)]
                await site.store(who, "cpu", {"host": "a"}, *points)
            yield Bench(site, store, watched, client)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


async def test_an_hour_is_remembered_once_it_has_settled(bench: Bench) -> None:
    """Not while a mark waits, and not for two hours after it was taken."""
    wanted = await bench.ask()
    assert len(wanted) == 48
    for _ in range(2):
        await bench.ask()
        assert bench.read == [(0, 12)]
    await bench.store.refresh(NOW)
    for _ in range(2):
        assert await bench.ask() == wanted
        assert bench.read == [(0, 12)]
    await bench.settle()
    await bench.ask()
    assert await bench.ask() == wanted
    assert bench.read == []


@pytest.mark.parametrize("agg", ["avg", "p95"])
async def test_a_late_sample_is_seen_as_soon_as_it_is_refreshed(bench: Bench, agg: str) -> None:
    """And its hour alone is read until it has settled again."""
    await bench.settle()
    before = await bench.ask(agg=agg)
    late = FROM + 3 * HOUR + 7 * MINUTE
    await bench.site.store("acme", "cpu", {"host": "a"}, (late, 1000.0))
    await bench.store.refresh(NOW)
    new = {"timestamp": _text(floor(late, 5 * MINUTE)), "value": 1000.0, "n": 1}
    for _ in range(2):
        assert [point for point in await bench.ask(agg=agg) if point not in before] == [new]
        assert set(bench.read) == {(3, 4)}
    await bench.settle()
    for read in ({(3, 4)}, set()):
        assert [point for point in await bench.ask(agg=agg) if point not in before] == [new]
        assert set(bench.read) == read


async def test_a_new_series_is_seen(bench: Bench) -> None:
    """What is remembered is of the series there were."""
    await bench.settle()
    await bench.ask()
    await bench.site.store("acme", "cpu", {"host": "b"}, (FROM, 100.0))
    await bench.settle()
    assert (await bench.ask())[0] == {"timestamp": _text(FROM), "value": 50.0, "n": 2}


async def test_tenants_do_not_share_it(bench: Bench) -> None:
    """The same question about a metric of the same name is another's."""
    await bench.site.store("other", "cpu", {"host": "a"}, (FROM + MINUTE, 100.0))
    await bench.settle()
    assert (await bench.ask("acme"))[0]["value"] == 0.0
    assert (await bench.ask("other"))[0]["value"] == 50.0
    assert bench.read == [(0, 12)]
    assert (await bench.ask("acme"))[0]["value"] == 0.0
    assert bench.read == []


async def test_nothing_is_left_of_a_metric_that_was_deleted(bench: Bench) -> None:
    """Not even when it is sent again."""
    await bench.settle()
    await bench.ask()
    deleted = await bench.site.manage("DELETE", "/api/v1/metrics/data/cpu")
    assert deleted.is_success, deleted.text
    assert await bench.ask() == []
    await bench.site.store("acme", "cpu", {"host": "a"}, (NOW - 6 * HOUR, 5.0))
    await bench.settle()
    assert [point["value"] for point in await bench.ask()] == [5.0]


async def test_a_range_moves_on(bench: Bench) -> None:
    """Of one that begins and ends a little later, what it has in common with the last is not read again."""
    await bench.settle()
    await bench.ask()
    later = timedelta(minutes=70)
    asked = {"start": (FROM + later).isoformat(), "end": (NOW + later).isoformat()}
    assert len(await bench.ask(**asked)) == 43
    assert bench.read == [(1, 2), (12, 13)]
