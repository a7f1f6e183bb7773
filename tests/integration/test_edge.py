"""Forms and freshness of answers over a real database."""

import csv
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from io import StringIO
from typing import Any

import httpx
import pyarrow as pa
import pytest

from query.database import QUERIES
from query.representations import ARROW, FACTS
from tests.sites import NOW, Site, at, serving

RANGE = {"start": at(60).isoformat(), "end": NOW.isoformat()}
TABULAR: list[tuple[str, dict[str, Any], str]] = [
    ("/api/v1/metrics", {"name": "cpu", **RANGE}, "samples"),
    ("/api/v1/metrics/series/cpu", {"bucket": "1m", **RANGE}, "points"),
    ("/api/v1/data/points", {"name": "cpu", "agg": "1m", **RANGE}, "points"),
]


@pytest.fixture
async def site(database: str) -> AsyncIterator[Site]:
    async with serving(database) as site:
        for host in ("a", "b"):
            await site.store("acme", "cpu", {"host": host}, (at(3), 1), (at(2), 2.5), (at(1), 3))
        yield site


async def ask(site: Site, path: str, query: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {"X-API-Key": site.keys["acme"], **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await site.client.get(path, params=query, headers=sent)


@pytest.mark.parametrize(("path", "query", "rows"), TABULAR)
async def test_the_three_forms_hold_the_same(
    site: Site, path: str, query: dict[str, Any], rows: str
) -> None:
    """CSV and Arrow have the rows of the JSON form, and beside them what it says otherwise."""
    plain = (await ask(site, path, query)).json()
    assert plain[rows]
    text = await ask(site, path, query, accept="text/csv")
    listed = list(csv.DictReader(StringIO(text.text, newline="")))
    assert [row["timestamp"][:19] for row in listed] == [
        one["timestamp"][:19] for one in plain[rows]
    ]
    assert [float(row["value"]) for row in listed] == [one["value"] for one in plain[rows]]
    arrow = await ask(site, path, query, accept=ARROW)
    table = pa.ipc.open_stream(arrow.content).read_all()
    assert table.column("value").to_pylist() == [one["value"] for one in plain[rows]]
    facts = {name: value for name, value in plain.items() if name != rows}
    for answer in (text, arrow):
        assert json.loads(answer.headers[FACTS]) == facts
    assert len({one.headers["etag"] for one in (text, arrow)}) == 2


@pytest.mark.parametrize(("path", "query", "rows"), TABULAR)
async def test_a_form_that_is_not_offered_is_406(
    site: Site, path: str, query: dict[str, Any], rows: str
) -> None:
    """The problem names the forms that are; the refusal itself is readable by anybody."""
    answer = await ask(site, path, query, accept="text/html")
    assert rows
    assert (answer.status_code, answer.headers["content-type"]) == (406, "application/problem+json")
    assert "text/csv" in answer.json()["detail"]


@pytest.mark.parametrize(("path", "query", "rows"), TABULAR)
async def test_an_answer_is_not_read_again_while_nothing_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str, query: dict[str, Any], rows: str
) -> None:
    """304 comes before the query of the data; a new sample, late or not, makes a new answer."""
    first = await ask(site, path, query)
    etag = first.headers["etag"]
    for name in QUERIES.keys() - {"subject"}:
        monkeypatch.setitem(QUERIES, name, "not to be asked")
    known = await ask(site, path, query, if_none_match=f'"x", {etag}')
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    assert known.headers["vary"] == first.headers["vary"]
    monkeypatch.undo()
    await site.store("acme", "cpu", {"host": "a"}, (at(50), 9))
    changed = await ask(site, path, query, if_none_match=etag)
    assert changed.status_code == 200
    assert len(changed.json()[rows]) > len(first.json()[rows])


@pytest.mark.parametrize(
    ("who", "name", "when"), [("acme", "cpu", 200), ("acme", "mem", 2), ("other", "cpu", 2)]
)
async def test_what_others_send_changes_nothing(
    site: Site, who: str, name: str, when: float
) -> None:
    """A sample before the range, of another metric or of another tenant leaves no trace in the ETag."""
    for path, query, _ in TABULAR:
        etag = (await ask(site, path, query)).headers["etag"]
        await site.store(who, name, {"host": "a"}, (at(when), 9))
        assert (await ask(site, path, query)).headers["etag"] == etag
        assert (await ask(site, path, query, if_none_match=etag)).status_code == 304


async def test_an_etag_is_of_one_tenant(site: Site) -> None:
    """The ETag of one tenant's answer never spares another its own."""
    path, query, rows = TABULAR[0]
    etag = (await ask(site, path, query)).headers["etag"]
    headers = {"X-API-Key": site.keys["other"], "If-None-Match": etag}
    foreign = await site.client.get(path, params=query, headers=headers)
    assert (foreign.status_code, foreign.json()[rows]) == (200, [])
    assert foreign.headers["etag"] != etag


async def test_a_definition_changes_what_is_fresh(site: Site) -> None:
    """Defining a metric, changing the definition and deleting the metric each make another answer."""
    path, query, _ = TABULAR[1]
    tags = [(await ask(site, path, query)).headers["etag"]]
    definitions = "/api/v1/metrics/definitions"
    await site.manage("POST", definitions, json={"name": "cpu", "type": "gauge"})
    tags.append((await ask(site, path, query)).headers["etag"])
    await site.manage(
        "PUT", f"{definitions}/cpu", json={"type": "summary"}, headers={"If-Match": "*"}
    )
    tags.append((await ask(site, path, query)).headers["etag"])
    assert (await site.manage("DELETE", "/api/v1/metrics/data/cpu")).status_code == 202
    tags.append((await ask(site, path, query)).headers["etag"])
    assert len(set(tags)) == 4


async def test_large_answers_are_compressed(site: Site) -> None:
    """What gzip carries is what there would be without it."""
    points = [(NOW - timedelta(seconds=n), n) for n in range(1, 500)]
    await site.store("acme", "many", {}, *points)
    query = {"name": "many", "limit": 1000, **RANGE}
    plain = await ask(site, "/api/v1/metrics", query, accept_encoding="identity")
    packed = await ask(site, "/api/v1/metrics", query, accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) * 5 < len(plain.content)
    assert packed.json() == plain.json()
