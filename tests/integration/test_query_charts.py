"""Metrics over time, in each form that they come in, over a real database."""

import pyarrow as pa
import pytest

from tests.sites import Site, at


async def test_a_definition_decides_what_a_series_is(site: Site) -> None:
    """Its aggregation is the default; unit, display name and type come with the answer."""
    await site.store(
        "acme", "requests", {}, *((at(9 - m), v) for m, v in enumerate((10, 70, 10, 40)))
    )
    await site.admin.execute(
        "INSERT INTO definitions (tenant_id, name, type, aggregation, unit, display_name) "
        "VALUES ($1, 'requests', 'counter', 'rate', '1/s', 'Requests')",
        site.tenants["acme"],
    )
    answer = (await site.get("/api/v1/metrics/series/requests")).json()
    assert (answer["agg"], answer["unit"], answer["display_name"], answer["type"]) == (
        "rate",
        "1/s",
        "Requests",
        "counter",
    )
    assert [point["value"] for point in answer["points"]] == pytest.approx([1, 10 / 60, 0.5])
    own = (await site.get("/api/v1/metrics/series/requests", "other")).json()
    assert (own["agg"], own["unit"], own["points"]) == ("avg", None, [])


async def test_a_bucket_in_progress_has_its_rate_already(site: Site) -> None:
    """What has passed of it counts, not what is to come: a chart does not fall at its right edge."""
    await site.store("acme", "requests", {}, *((at(m), 1000 - 6.0 * m) for m in range(70, -1, -1)))
    asked = {
        "agg": "rate",
        "bucket": "50m",
        "start": at(40).isoformat(),
        "end": at(-40).isoformat(),
    }
    points = (await site.get("/api/v1/metrics/series/requests", **asked)).json()["points"]
    assert [point["value"] for point in points] == pytest.approx([0.1, 0.1], rel=0.05)


async def test_charts_are_filled_and_thinned(site: Site) -> None:
    """`fill` gives every bucket a point; `max_points` keeps the peak."""
    await site.store(
        "acme", "load", {}, *((at(m), 99.5 if m == 33 else m % 3) for m in range(1, 60, 2))
    )
    filled = (await site.get("/api/v1/metrics/series/load", fill="null")).json()
    assert len(filled["points"]) == 60
    assert sum(point["value"] is None for point in filled["points"]) == 30
    thinned = (await site.get("/api/v1/metrics/series/load", max_points=8)).json()["points"]
    assert len(thinned) <= 8
    assert max(point["value"] for point in thinned) == 99.5


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/metrics?name=load",
        "/api/v1/metrics/latest/load",
        "/api/v1/metrics/series/load",
        "/api/v1/metrics/series/load?by=host",
        "/api/v1/metrics/aggregate/load?by=host",
        "/api/v1/data/points?name=load",
        "/api/v1/data/points?name=load&agg=1m",
    ],
)
async def test_every_table_comes_as_csv_and_arrow(site: Site, path: str) -> None:
    """The same rows in each form; and 304 for who has them, until something is stored."""
    await site.store("acme", "load", {"host": "a"}, (at(2), 1), (at(1), 2))
    key = {"X-API-Key": site.keys["acme"]}
    csv = await site.client.get(path, headers={**key, "Accept": "text/csv"})
    assert csv.status_code == 200
    arrow = await site.client.get(
        path, headers={**key, "Accept": "application/vnd.apache.arrow.stream"}
    )
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert len(csv.text.splitlines()) == table.num_rows + 1
    assert table.num_rows in {1, 2}
    first = await site.client.get(path, headers=key)
    again = await site.client.get(path, headers={**key, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await site.store("acme", "load", {"host": "a"}, (at(0.5), 3))
    fresh = await site.client.get(path, headers={**key, "If-None-Match": first.headers["etag"]})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    ("agg", "values"),
    [
        ("avg", [2, 20]),
        ("min", [1, 20]),
        ("max", [3, 20]),
        ("sum", [6, 20]),
        ("count", [3, 1]),
        ("p50", [2, 20]),
        ("p95", [2.9, 20]),
        ("p99", [2.98, 20]),
    ],
)
async def test_series_in_buckets(site: Site, agg: str, values: list[float]) -> None:
    """Buckets are aligned to the clock, leave gaps out, and take numbers of all series together."""
    await site.store("acme", "load", {"host": "a"}, (at(20), 1), (at(18), 2), (at(2), 20))
    await site.store("acme", "load", {"host": "b"}, (at(17), 3), (at(17), "text"), (at(17), True))
    answer = (await site.get("/api/v1/metrics/series/load", bucket="5m", agg=agg)).json()
    assert [p["timestamp"] for p in answer["points"]] == [
        "2026-06-01T11:40:00Z",
        "2026-06-01T11:55:00Z",
    ]
    assert [p["value"] for p in answer["points"]] == pytest.approx(values)
    assert [p["n"] for p in answer["points"]] == [3, 1]
