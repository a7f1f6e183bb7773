"""Load tests made of points, stored as the post-test workflow leaves them, for dashboards to show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import numpy as np

from schemas.named_queries import load
from tests.sites import Site

_SQL = load("tests", "load_tests.sql")
TRENDS = {"http_req_duration", "http_req_waiting"}


@dataclass(frozen=True)
class Point:
    """A point of k6."""

    at: datetime
    metric: str
    value: float
    name: str | None = None
    status: str | None = None
    domain: str | None = None


@dataclass(frozen=True)
class LoadTest:
    """A run and its points."""

    started_at: datetime
    seconds: float
    points: Sequence[Point] = ()
    test: str = "checkout"
    state: str = "finished"
    verdict: str | None = "passed"
    tags: dict[str, str] = field(default_factory=dict)
    thresholds: Sequence[dict[str, Any]] = ()
    execution_id: UUID = field(default_factory=uuid4)

    def values(self, metric: str, **labels: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """What a metric measured, of the points that have these labels."""
        return np.array([one.value for one in self.matching(metric, **labels)], np.float64)

    def matching(self, metric: str, **labels: str) -> list[Point]:
        """The points of a metric that have these labels."""
        return [
            one
            for one in self.points
            if one.metric == metric
            and all(getattr(one, key) == value for key, value in labels.items())
        ]


def made_up(
    started_at: datetime, seconds: int, *, per_second: int = 6, seed: int = 1, **given: Any
) -> LoadTest:
    """A run of requests to three endpoints of two domains, some of which fail, and what goes with them."""
    draw = np.random.default_rng(seed)
    points: list[Point] = []
    for number in range(seconds):
        second = started_at + timedelta(seconds=number)
        points.append(Point(second, "vus", float(1 + number % 5)))
        points += [Point(second, "iterations", 1.0), Point(second, "data_sent", 100.0)]
        points += [Point(second, "checks", float(draw.random() > 0.1))]
        for _ in range(int(draw.integers(1, per_second + 1))):
            endpoint = int(draw.integers(0, 3))
            status = "500" if draw.random() < 0.1 else "200"
            where = (f"/{'abc'[endpoint]}", status, "shop" if endpoint else "pay")
            at = second + timedelta(milliseconds=int(draw.integers(0, 1000)))
            took = float(20 * np.exp(draw.normal(endpoint, 0.7)))
            points += [
                Point(at, "http_req_duration", took, *where),
                Point(at, "http_req_waiting", took / 2, *where),
                Point(at, "http_reqs", 1.0, *where),
                Point(at, "http_req_failed", float(status == "500"), *where),
            ]
    return LoadTest(started_at, seconds, points, **given)


async def store(site: Site, who: str, run: LoadTest, *, sketched: bool = True) -> None:
    """Store a run of a tenant, aggregated; not `sketched`: as it was before there were sketches and totals."""
    ended = None if run.state == "running" else run.started_at + timedelta(seconds=run.seconds)
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute(
            _SQL["run"],
            run.execution_id,
            site.tenants[who],
            run.test,
            run.state,
            run.started_at,
            ended,
            msgspec.json.encode(dict.fromkeys(TRENDS, "trend") | {"http_reqs": "counter"}).decode(),
            msgspec.json.encode(run.thresholds).decode(),
            run.verdict,
            msgspec.json.encode(run.tags).decode(),
        )
        columns = [
            (p.at, p.metric, p.name, "GET" if p.name else None, p.status, p.domain, p.value)
            for p in run.points
        ]
        arrays = [list(column) for column in zip(*columns, strict=True)] or [[]] * 7
        await connection.execute(_SQL["sketch_of"])
        await connection.execute(_SQL["points"], *arrays)
        await connection.execute(_SQL["aggregate"], run.execution_id, sorted(TRENDS), sketched)
        if not sketched:
            await connection.execute(_SQL["untotalled"], run.execution_id)
