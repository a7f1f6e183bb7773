"""What a tenant sends, as the API lists it, and how a metric is deleted."""

from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from query.database import QUERIES, Rows, _Transaction
from tests.sites import NOW, Site, at

NAMES = "/api/v1/metrics/names"
LABELS = "/api/v1/metrics/labels"
CARDINALITY = "/api/v1/cardinality"
DATA = "/api/v1/metrics/data"


async def follow(site: Site, path: str, field: str, **query: Any) -> list[Any]:
    """All pages of an answer."""
    seen, cursor = [], None
    while True:
        page = await site.get(path, **query, **({"cursor": cursor} if cursor else {}))
        assert page.status_code == 200, page.text
        assert len(page.json()[field]) <= query["limit"]
        seen += page.json()[field]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return seen


async def test_names_tell_their_series_and_go_on(site: Site) -> None:
    """Pages follow each other in the order of bytes; a cursor fits its own prefix only."""
    for name in ("cpu", "cpu_1", "cp%", "Cpu", "mem", "ü", "\U0010ffff"):
        for host in "ab" if name == "cpu" else "a":
            await site.store("acme", name, {"host": host}, (at(1), 1))
    everything = await follow(site, NAMES, "names", limit=2)
    assert everything == sorted(everything, key=str.encode)
    assert len(everything) == 7
    assert await follow(site, NAMES, "names", limit=1, prefix="cp") == ["cp%", "cpu", "cpu_1"]
    assert await follow(site, NAMES, "names", limit=1, prefix="\U0010ffff") == ["\U0010ffff"]
    facts = (await site.get(NAMES, prefix="cpu")).json()["metrics"]
    assert [(one["name"], one["series"]) for one in facts] == [("cpu", 2), ("cpu_1", 1)]
    cursor = (await site.get(NAMES, prefix="cp", limit=1)).json()["next_cursor"]
    assert (await site.get(NAMES, prefix="c", cursor=cursor)).status_code == 422
    assert (await site.get(LABELS, name="cpu", label="host", cursor=cursor)).status_code == 422


async def test_a_prefix_of_names_is_found_by_the_index(site: Site) -> None:
    """Of many names only those that begin so are read, barrier or not."""
    await site.admin.execute(
        "INSERT INTO metrics SELECT $1, 'm' || n, 1 FROM generate_series(1, 20000) n",
        site.tenants["acme"],
    )
    await site.admin.execute("ANALYZE metrics")
    async with site.admin.acquire() as connection, connection.transaction():
        tenant = str(site.tenants["acme"])
        await connection.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        await connection.execute("SET LOCAL ROLE headrace_reader")
        plan = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {QUERIES['catalog_names']}",
            "m1999",
            None,
            100,
        )
    text = "\n".join(line for (line,) in plan)
    assert "Index" in text
    assert "Rows Removed" not in text, text


async def test_labels_and_their_values(site: Site) -> None:
    """Labels of a metric with the number of their values; the values of one, by prefix and page."""
    for host, zone in (("a1", "x"), ("a2", "x"), ("b%", "y")):
        await site.store("acme", "cpu", {"host": host, "zone": zone}, (at(1), 1))
    await site.store("acme", "mem", {"rack": "1"}, (at(1), 1))
    labels = (await site.get(LABELS, name="cpu")).json()
    assert labels["labels"] == [{"label": "host", "n_values": 3}, {"label": "zone", "n_values": 2}]
    hosts = {"name": "cpu", "label": "host"}
    assert await follow(site, LABELS, "values", limit=1, **hosts) == ["a1", "a2", "b%"]
    assert await follow(site, LABELS, "values", limit=1, prefix="a", **hosts) == ["a1", "a2"]
    for unknown in ({"name": "none"}, {"name": "cpu", "label": "none"}):
        answer = (await site.get(LABELS, **unknown)).json()
        assert (answer["labels"], answer["values"]) == ([], [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "query.name"),
        ({"name": "cpu", "prefix": "a"}, "query.label"),
        ({"name": "cpu", "cursor": "AAAA"}, "query.label"),
        ({"name": "cpu", "label": "a\0"}, "query.label"),
        ({"name": "cpu", "label": "a", "prefix": "\0"}, "query.prefix"),
        ({"name": "cpu", "label": "a", "cursor": "AAAA"}, "query.cursor"),
        ({"name": "cpu", "label": "a" * 257}, "query.label"),
    ],
)
async def test_a_bad_question_about_labels_is_refused(
    site: Site, query: dict[str, Any], field: str
) -> None:
    """422 names the parameter."""
    refused = await site.get(LABELS, **query)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)


async def test_cardinality_names_the_offenders_and_the_limits(site: Site) -> None:
    """The fullest metrics and labels first, each with its limit, and what was refused."""
    for n in range(3):
        await site.store("acme", "cpu", {"host": str(n), "zone": "x"}, (at(1), 1))
    await site.store("acme", "mem", {"host": "a"}, (at(1), 1))
    tenant = site.tenants["acme"]
    before = (await site.get(CARDINALITY)).json()
    assert before["limit"] == {"series": 4, "max_series": 1_000_000}
    assert before["rejections"] == []
    await site.admin.execute("UPDATE tenants SET max_series = 5 WHERE tenant_id = $1", tenant)
    await site.manage(
        "POST",
        "/api/v1/metrics/definitions",
        json={"name": "cpu", "type": "gauge", "max_label_values": 7},
    )
    await site.admin.execute(
        "INSERT INTO rejections (tenant_id, reason, samples, last_name, last_labels) "
        "VALUES ($1, 'too_many_series', 12, 'cpu', '{\"host\": \"9\"}')",
        tenant,
    )
    found = (await site.get(CARDINALITY, top=2)).json()
    assert found["limit"] == {"series": 4, "max_series": 5}
    assert [(one["name"], one["series"]) for one in found["top_metrics"]] == [
        ("cpu", 3),
        ("mem", 1),
    ]
    assert [
        (one["name"], one["label"], one["n_values"], one["max_values"])
        for one in found["top_labels"]
    ] == [("cpu", "host", 3, 7), ("cpu", "zone", 1, 7)]
    (rejection,) = found["rejections"]
    assert (rejection["reason"], rejection["samples"]) == ("too_many_series", 12)
    assert rejection["last_labels"] == {"host": "9"}


async def test_nothing_of_another_tenant_is_listed(site: Site) -> None:
    """Names, labels, values, limits and rejections are each tenant's own."""
    await site.store("acme", "s3cret", {"s3cret_label": "s3cret-1"}, (at(1), 1))
    await site.admin.execute(
        "INSERT INTO rejections (tenant_id, reason, samples, last_name, last_labels) "
        "VALUES ($1, 'too_many_series', 1, 's3cret', '{}')",
        site.tenants["acme"],
    )
    asked: list[tuple[str, dict[str, str]]] = [
        (NAMES, {"prefix": ""}),
        (LABELS, {"name": "s3cret"}),
        (LABELS, {"name": "s3cret", "label": "s3cret_label"}),
        (CARDINALITY, {}),
    ]
    for path, query in asked:
        assert "s3cret" in _told(await site.get(path, **query))
        assert "s3cret" not in _told(await site.get(path, "other", **query))
    assert (await site.get(CARDINALITY, "other")).json()["limit"]["series"] == 0


def _told(answer: httpx.Response) -> str:
    """What an answer says beside what was asked."""
    return str({name: of for name, of in answer.json().items() if name not in {"name", "label"}})


async def test_deleting_a_metric_says_what_goes_and_takes_it_away(site: Site) -> None:
    """A dry run counts and removes nothing; then nobody sees it, and its name can be used anew."""
    await site.store("acme", "cpu", {"host": "a"}, (at(2), 1), (at(1), 2))
    await site.store("acme", "cpu", {"host": "b"}, (at(1), 3))
    await site.store("acme", "cpu_2", {}, (at(1), 4))
    await site.store("other", "cpu", {}, (at(1), 5))
    await site.manage("POST", "/api/v1/metrics/definitions", json={"name": "cpu", "type": "gauge"})
    planned = await site.manage("DELETE", f"{DATA}/cpu", params={"dry_run": True})
    assert (planned.status_code, planned.json()["dry_run"]) == (200, True)
    counts = {one["what"]: one["n"] for one in planned.json()["removes"]}
    assert (counts["series"], counts["samples"], counts["definitions"]) == (2, 3, 1)
    assert len((await site.get("/api/v1/metrics", name="cpu")).json()["samples"]) == 3
    gone = await site.manage("DELETE", f"{DATA}/cpu")
    assert (gone.status_code, gone.json()) == (202, {**planned.json(), "dry_run": False})
    assert (await site.get("/api/v1/metrics", name="cpu")).json()["samples"] == []
    assert (await site.get(NAMES)).json()["names"] == ["cpu_2"]
    assert (await site.get("/api/v1/metrics/definitions/cpu")).status_code == 404
    assert (await site.manage("DELETE", f"{DATA}/cpu")).status_code == 404
    await site.store("acme", "cpu", {"host": "a"}, (NOW, 9))
    assert (await site.get(NAMES)).json()["names"] == ["cpu", "cpu_2"]
    assert len((await site.get("/api/v1/metrics", "other", name="cpu")).json()["samples"]) == 1


async def test_a_metric_is_deleted_by_its_whole_name(site: Site) -> None:
    """A line break at the end makes it another metric, also in a path."""
    for name in ("cpu", "cpu\n", "cpu\nx"):
        await site.store("acme", name, {}, (at(1), 1))
    assert (await site.manage("DELETE", f"{DATA}/cpu%0A")).json()["name"] == "cpu\n"
    assert (await site.get(NAMES)).json()["names"] == ["cpu", "cpu\nx"]


async def test_only_the_tenants_admin_deletes(site: Site) -> None:
    """Another tenant's admin finds no such metric; a key that reads may not delete."""
    await site.store("acme", "cpu", {}, (at(1), 1))
    for query in ({}, {"dry_run": "true"}):
        assert (
            await site.manage("DELETE", f"{DATA}/cpu", "other", params=query)
        ).status_code == 404
        headers = {"X-API-Key": site.keys["acme"]}
        refused = await site.client.delete(f"{DATA}/cpu", params=query, headers=headers)
        assert refused.status_code == 403
    misspelt = await site.manage("DELETE", f"{DATA}/cpu", params={"dryrun": "true"})
    assert misspelt.status_code == 422
    assert (await site.get(NAMES)).json()["names"] == ["cpu"]


@pytest.mark.parametrize(
    ("path", "hours", "query", "plan"),
    [
        ("metrics/series/cpu?bucket=5m", 12, "numbers_5m", "generic"),
        ("metrics/series/cpu?bucket=5m", 7 * 24, "numbers_5m", "custom"),
        ("metrics/series/cpu?bucket=10s", 1, "numbers_raw", "custom"),
        ("metrics/series/cpu?bucket=5m&agg=p95", 1, "percentiles_raw", "custom"),
        ("metrics/aggregate/cpu?agg=max", 3, "numbers_1h", "generic"),
        ("data/points?name=cpu", 1, "page_samples", "custom"),
    ],
)
async def test_what_reads_a_lot_is_planned_for_its_values(  # noqa: PLR0917 # a case has four parts
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, hours: int, query: str, plan: str
) -> None:
    """A plan for any can't tell a minute from a month; what a request is about is always planned once."""
    await site.store("acme", "cpu", {"host": "a"}, (at(30), 1.0))
    modes, rows = {}, _Transaction.rows

    async def noted(reading: _Transaction, name: str, *arguments: object) -> Rows:
        modes[name] = await reading.connection.fetchval("SHOW plan_cache_mode")
        return await rows(reading, name, *arguments)

    monkeypatch.setattr(_Transaction, "rows", noted)
    route, _, asked = path.partition("?")
    answer = await site.get(
        f"/api/v1/{route}",
        start=at(60 * hours).isoformat(),
        **dict(parse_qsl(asked)),
    )
    assert answer.status_code == 200, answer.text
    assert modes["subject"] == "force_generic_plan"
    assert modes[query] == f"force_{plan}_plan"
