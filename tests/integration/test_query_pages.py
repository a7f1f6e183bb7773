"""Pages of raw samples and of points, and what narrows them, over a real database."""

from datetime import datetime

import httpx
import pytest

from query import cursors
from query.pages import Position
from query.parameters import EARLIEST, LATEST
from query.windows import MOST_ROWS
from tests.sites import Site, at


async def test_samples_come_newest_first_with_their_labels(site: Site) -> None:
    """A page holds numbers, booleans and texts as they were sent, in the default hour."""
    await site.store("acme", "up", {"host": "a"}, (at(70), 0), (at(3), 1.5), (at(1), True))
    await site.store("acme", "up", {"host": "b"}, (at(2), "fine"))
    answer = (await site.get("/api/v1/metrics", name="up")).json()
    assert [(s["timestamp"], s["value"], s["labels"]["host"]) for s in answer["samples"]] == [
        ("2026-06-01T11:59:00Z", True, "a"),
        ("2026-06-01T11:58:00Z", "fine", "b"),
        ("2026-06-01T11:57:00Z", 1.5, "a"),
    ]
    assert (answer["start"], answer["end"]) == ("2026-06-01T11:00:00Z", "2026-06-01T12:00:00Z")
    assert answer["next_cursor"] is None


async def test_start_is_included_and_end_is_not(site: Site) -> None:
    """Ranges that touch share no sample and lose none."""
    await site.store("acme", "up", {}, (at(3), 3), (at(2), 2), (at(1), 1))
    answer = await site.get(
        "/api/v1/metrics", name="up", start=at(3).isoformat(), end=at(1).isoformat()
    )
    assert [s["value"] for s in answer.json()["samples"]] == [2, 3]


async def test_labels_narrow_and_all_must_match(site: Site) -> None:
    """A series needs every label that is asked for; a value may hold a colon."""
    await site.store("acme", "up", {"host": "a:1", "zone": "x"}, (at(1), 1))
    await site.store("acme", "up", {"host": "a:1", "zone": "y"}, (at(1), 2))
    answer = await site.get("/api/v1/metrics", name="up", label=["host:a:1", "zone:y"])
    assert [s["value"] for s in answer.json()["samples"]] == [2]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("most_rows", [4, MOST_ROWS])
async def test_pages_hold_every_sample_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, limit: int, most_rows: int
) -> None:
    """Following the cursor passes all samples, also several of a series at one time, and days apart.

    It is the same where windows of time are crowded and have to be narrowed, down to one tick.
    """
    monkeypatch.setattr("query.windows.MOST_ROWS", most_rows)
    expected = []
    for host in ("a", "b", "c"):
        points = [(at(m), float(n)) for n, m in enumerate((0.5, 0.5, 0.5, 4, 4, 90, 2000, 30_000))]
        await site.store("acme", "up", {"host": host}, *points)
        expected += [(when, host, value) for when, value in points]
    seen, cursor = [], None
    while True:
        page = await site.get(
            "/api/v1/metrics",
            name="up",
            start=at(50_000).isoformat(),
            limit=limit,
            **({"cursor": cursor} if cursor else {}),
        )
        assert page.status_code == 200, page.text
        samples = page.json()["samples"]
        assert len(samples) <= limit
        seen += [
            (datetime.fromisoformat(s["timestamp"]), s["labels"]["host"], s["value"])
            for s in samples
        ]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert [when for when, _, _ in seen] == sorted((when for when, _, _ in seen), reverse=True)
    assert sorted(seen) == sorted(expected)


async def test_a_cursor_belongs_to_its_request(site: Site) -> None:
    """A cursor under other parameters, or made up, is refused."""
    await site.store("acme", "up", {}, (at(2), 2), (at(1), 1))
    cursor = (await site.get("/api/v1/metrics", name="up", limit=1)).json()["next_cursor"]
    for parameters in (
        {"name": "down", "cursor": cursor},
        {"name": "up", "cursor": "AAAA"},
        {"name": "up", "cursor": cursor[:-2]},
        {"name": "up", "cursor": ""},
        {"name": "up", "cursor": "ü"},
    ):
        answer = await site.get("/api/v1/metrics", **parameters)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "query.cursor"


async def test_writes_move_no_page(site: Site) -> None:
    """Samples that come between two pages, also at the very time of the last one: none is shown twice or lost."""
    moment = at(5)
    first = [7.0, 3.0, 3.0, True, "b", "a"]
    await site.store("acme", "up", {}, *((moment, value) for value in first))
    seen: list[object] = []
    cursor: dict[str, str] = {}
    late = iter([1.0, 3.0, False, "aa", 99.0, "zz"])
    while True:
        page = (await site.get("/api/v1/metrics", name="up", limit=1, **cursor)).json()
        seen += [sample["value"] for sample in page["samples"]]
        for value in (next(late, None), next(late, None)):
            if value is not None:
                await site.store("acme", "up", {}, (moment, value), (at(1), value))
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    for value in (3.0, 7.0, True, "a", "b"):
        assert seen.count(value) >= first.count(value)
    everything = [*first, 1.0, 3.0, False, "aa", 99.0, "zz"]
    assert all(seen.count(value) <= everything.count(value) for value in seen)
    assert [value for value in seen if type(value) is float] == sorted(
        value for value in seen if type(value) is float
    )


async def test_a_crowd_at_one_time_is_paged_through(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More samples of a series at one time than a window may hold."""
    monkeypatch.setattr("query.windows.MOST_ROWS", 5)
    await site.store(
        "acme", "up", {}, *((at(5), float(number)) for number in range(30)), (at(6), 99)
    )
    seen: list[float] = []
    cursor: dict[str, str] = {}
    while not seen or cursor:
        page = (await site.get("/api/v1/metrics", name="up", limit=7, **cursor)).json()
        seen += [sample["value"] for sample in page["samples"]]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
    assert seen == [*map(float, range(30)), 99]


async def test_a_forged_cursor_is_no_error_of_ours(site: Site) -> None:
    """One of another level than the route reads, and one far off, move within the tenant's own samples."""
    await site.store("acme", "up", {}, (at(2), 2), (at(1), 1))
    for level in ("raw", "1m", "1h"):
        position = Position(level, EARLIEST, LATEST, LATEST, 2**63 - 1, 0.5, None, None, 2**31 - 1)
        for path, agg in (("/api/v1/metrics", []), ("/api/v1/data/points", ["5m"])):
            cursor = cursors.encode(position, "up", [], [], None, None, *agg)
            more = {"agg": agg[0]} if agg else {}
            answer = await site.get(path, name="up", cursor=cursor, **more)
            assert answer.status_code == 200, answer.text


async def test_latest_finds_each_series_however_old(site: Site) -> None:
    """A fresh series, one of last month and one of a clock that runs ahead are all found."""
    await site.store("acme", "disk/free space", {"host": "a"}, (at(9), 1), (at(1), 2))
    await site.store("acme", "disk/free space", {"host": "b"}, (at(40_000), 3))
    await site.store("acme", "disk/free space", {"host": "c"}, (at(1), 4), (at(-5), 5))
    answer = await site.get("/api/v1/metrics/latest/disk%2Ffree%20space")
    assert [s["value"] for s in answer.json()["series"]] == [2, 3, 5]
    unknown = await site.get("/api/v1/metrics/latest/unknown")
    assert (unknown.status_code, unknown.json()["series"]) == (200, [])


async def test_matchers_narrow_every_route(site: Site) -> None:
    """Equal or not, by text or by expression, with `label` beside them."""
    for host, zone in (("web-1", "eu"), ("web-2", "us"), ("db", "eu")):
        await site.store("acme", "up", {"host": host, "zone": zone}, (at(1), len(host)))
    await site.store("acme", "up", {}, (at(1), 0))
    for match, hosts in (
        (["host=~web.*"], {"web-1", "web-2"}),
        (["host=~web.*", "zone!=us"], {"web-1"}),
        (["host!~web.*"], {"db", ""}),
        (["host!="], {"web-1", "web-2", "db"}),
        (["host="], {""}),
        (["host=db", "host=web-1"], set()),
    ):
        for path, rows in (
            ("/api/v1/metrics?name=up", "samples"),
            ("/api/v1/metrics/latest/up", "series"),
            ("/api/v1/data/points?name=up", "points"),
            ("/api/v1/data/points?name=up&agg=1m", "points"),
            ("/api/v1/metrics/series/up?by=host", "groups"),
            ("/api/v1/metrics/aggregate/up?by=host", "groups"),
        ):
            url = httpx.URL(path)
            answer = (await site.get(url.path, **url.params, match=match)).json()
            assert {row["labels"].get("host", "") for row in answer[rows]} == hosts, (path, match)
    both = await site.get("/api/v1/metrics", name="up", label="zone:eu", match="host=~.*-.")
    assert [sample["labels"]["host"] for sample in both.json()["samples"]] == ["web-1"]
    clash = await site.get("/api/v1/metrics", name="up", label="host:db", match="host=web-1")
    assert clash.json()["samples"] == []


async def test_too_many_series_are_the_callers_to_narrow(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """422 that names the parameter, whether series, matched series, groups, points or rows are too many."""
    for host in range(4):
        await site.store("acme", "up", {"host": str(host)}, *((at(m), m) for m in range(1, 50)))
    for limit, parameters, field in (
        ("query.subject.MAX_SERIES", {}, "label"),
        ("query.subject.MAX_SERIES", {"match": "host=~.*"}, "match"),
        ("query.subject.MAX_MATCHED", {"match": "host=~.*"}, "label"),
        ("query.series.MAX_GROUPS", {"by": "host"}, "by"),
        ("query.parameters.MAX_POINTS", {}, "by"),
        ("query.aggregates.MOST_RAW", {"agg": "p95"}, "start"),
        ("query.aggregates.MOST_RAW", {"bucket": "30s"}, "start"),
        ("query.aggregates._MOST_ROLLED", {"bucket": "5m"}, "start"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(limit, 3)
            answer = await site.get("/api/v1/metrics/series/up", **parameters)
        assert answer.status_code == 422, (limit, answer.text)
        assert [error["field"] for error in answer.json()["errors"]] == [f"query.{field}"], limit
    assert (await site.get("/api/v1/metrics/series/up")).status_code == 200


async def test_rollups_of_booleans_and_text_are_refused(site: Site) -> None:
    """400 for agg other than raw, however old the samples; mixed metrics give their numbers."""
    await site.store("acme", "ok", {}, (at(90), True), (at(1), False))
    await site.store("acme", "state", {}, (at(50_000), "fine"))
    await site.store("acme", "mixed", {}, (at(2), 5), (at(1), "fine"))
    for name, kind in (("ok", "booleans"), ("state", "text")):
        for agg in ("1m", "5m", "1h"):
            answer = await site.get("/api/v1/data/points", name=name, agg=agg)
            assert answer.status_code == 400
            assert kind in answer.json()["detail"]
        assert (await site.get("/api/v1/data/points", name=name)).status_code == 200
    mixed = (await site.get("/api/v1/data/points", name="mixed", agg="1m")).json()
    assert [point["value"] for point in mixed["points"]] == [5]
    old = await site.get("/api/v1/data/points", name="state", start=at(60_000).isoformat())
    assert [point["value"] for point in old.json()["points"]] == ["fine"]
    assert (old.json()["source"], old.json()["degraded_to"]) == ("raw", "raw")
    nothing = await site.get("/api/v1/data/points", name="unknown", agg="1h")
    assert (nothing.status_code, nothing.json()["points"]) == (200, [])


async def test_points_of_a_rollup_tell_all_of_a_bucket(site: Site) -> None:
    """Average, least, greatest, sum and count of each series' bucket, whose begin lies in the range."""
    await site.store("acme", "load", {"host": "a"}, (at(7), 1), (at(6.5), 2), (at(6), 6))
    await site.store("acme", "load", {"host": "b"}, (at(7), 10))
    answer = (await site.get("/api/v1/data/points", name="load", agg="5m")).json()
    assert [
        (p["labels"]["host"], p["value"], p["min"], p["max"], p["sum"], p["n"])
        for p in answer["points"]
    ] == [("b", 10, 10, 10, 10, 1), ("a", 3, 1, 6, 9, 3)]
    assert {p["timestamp"] for p in answer["points"]} == {"2026-06-01T11:50:00Z"}
    assert (answer["agg"], answer["source"], answer["degraded_from"]) == ("5m", "5m", None)
