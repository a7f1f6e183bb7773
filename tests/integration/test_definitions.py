"""Metric definitions over the API: made, read, changed by one editor at a time, and deleted."""

import json
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests.sites import Site, at

PATH = "/api/v1/metrics/definitions"
CPU = {
    "name": "cpu_usage",
    "display_name": "CPU usage",
    "description": "Share of the time that all cores were busy.",
    "unit": "percent",
    "type": "gauge",
    "aggregation": "max",
    "retention_days": 90,
    "alert_threshold": {"warning": 80.0, "critical": 95.0},
    "max_label_values": 500,
}


async def define(site: Site, who: str = "acme", **definition: Any) -> str:
    """Make a definition and return its ETag."""
    made = await site.manage("POST", PATH, who, json={"type": "gauge", **definition})
    assert made.status_code == 201, made.text
    return made.headers["etag"]


async def test_a_definition_is_what_was_defined(site: Site) -> None:
    """Made with 201 where Location says; read with the same fields; its version is 1."""
    made = await site.manage("POST", PATH, json=CPU)
    assert made.status_code == 201
    assert made.headers["location"] == f"{PATH}/cpu_usage"
    read = await site.get(made.headers["location"])
    assert read.json() == made.json()
    assert read.headers["etag"] == made.headers["etag"]
    assert {name: read.json()[name] for name in CPU} == CPU
    assert read.json()["version"] == 1


@pytest.mark.parametrize(
    ("kind", "aggregation"),
    [("gauge", "avg"), ("counter", "rate"), ("histogram", "p95"), ("summary", "avg")],
)
async def test_the_type_decides_the_aggregation(site: Site, kind: str, aggregation: str) -> None:
    """Without an aggregation a definition has that of its type."""
    made = await site.manage("POST", PATH, json={"name": "m", "type": kind})
    assert made.json()["aggregation"] == aggregation


@pytest.mark.parametrize(
    "name", ["disk/free space", "a/b/c/", "%2F", "ü", "..", "?x=1#y", "a\nb", "a\n", " "]
)
async def test_a_name_may_be_any_text(site: Site, name: str) -> None:
    """What Location says leads back to the definition, whatever its name holds."""
    made = await site.manage("POST", PATH, json={"name": name, "type": "gauge"})
    assert made.status_code == 201
    location = made.headers["location"]
    assert location == f"{PATH}/{quote(name, safe='')}"
    if name != "..":  # clients take that out of a path by themselves
        assert (await site.get(location)).json()["name"] == name


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "a\0"}, "body.name"),
        ({"name": "\ud800"}, "body.name"),
        ({"name": "a" * 257}, "body.name"),
        ({"name": 5}, "body.name"),
        ({"type": "meter"}, "body.type"),
        ({"type": ["gauge"]}, "body.type"),
        ({"aggregation": "median"}, "body.aggregation"),
        ({"aggregation": "rate"}, "body"),
        ({"unit": ""}, "body.unit"),
        ({"unit": "\ud800"}, "body.unit"),
        ({"unit": "a\0"}, "body.unit"),
        ({"description": "a" * 4097}, "body.description"),
        ({"retention_days": 0}, "body.retention_days"),
        ({"retention_days": True}, "body.retention_days"),
        ({"retention_days": "30"}, "body.retention_days"),
        ({"retention_days": 10**30}, "body.retention_days"),
        ({"alert_threshold": {}}, "body.alert_threshold"),
        ({"alert_threshold": {"warning": 1e300}}, "body.alert_threshold.warning"),
        ({"alert_threshold": {"warning": float("nan")}}, "body.alert_threshold.warning"),
        ({"alert_threshold": {"warning": 10**400}}, "body.alert_threshold.warning"),
        ({"max_label_values": 0}, "body.max_label_values"),
        ({"tenant_id": "00000000-0000-0000-0000-000000000000"}, "body.tenant_id"),
        ({"version": 7}, "body.version"),
    ],
)
async def test_a_bad_field_is_named(site: Site, change: dict[str, Any], field: str) -> None:
    """422 names the one field that is wrong, and nothing is stored."""
    content = json.dumps({**CPU, **change})  # as httpx would not: with NaN and lone surrogates
    headers = {"Content-Type": "application/json"}
    refused = await site.manage("POST", PATH, content=content, headers=headers)
    assert refused.status_code == 422, refused.text
    assert [one["field"] for one in refused.json()["errors"]] == [field]
    assert (await site.get(PATH)).json()["definitions"] == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"cpu"', 422),
        (b'"\xff"', 400),
        (b"[" * 30_000, 400),
        (b'{"\\ud800": 1, "name": "a", "type": "gauge"}', 422),
        (b'{"x": 1' + b', "y": 1' * 5000 + b"}", 422),
        (b"{" + b",".join(b'"k%d": 1' % n for n in range(5000)) + b"}", 422),
        (b'{"name": "' + b"a" * 70_000 + b'"}', 413),
    ],
)
async def test_a_bad_body_is_refused(site: Site, content: bytes, status: int) -> None:
    """Whatever comes as a body, the answer is a problem document of bounded size."""
    headers = {"Content-Type": "application/json"}
    refused = await site.manage("POST", PATH, content=content, headers=headers)
    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert len(refused.content) < 10_000


async def test_a_body_that_is_not_called_json_is_refused(site: Site) -> None:
    """The answer says which Content-Type is wanted."""
    refused = await site.manage("POST", PATH, content=b'{"name": "a", "type": "gauge"}')
    assert refused.status_code == 422
    assert "application/json" in refused.json()["detail"]


async def test_a_name_is_defined_once(site: Site) -> None:
    """409 for the second; another tenant is not in the way."""
    await define(site, name="cpu")
    assert (
        await site.manage("POST", PATH, json={"name": "cpu", "type": "summary"})
    ).status_code == 409
    await define(site, "other", name="cpu")


async def test_a_change_names_the_version_that_it_is_of(site: Site) -> None:
    """428 without If-Match, 412 with another version, 200 with this one, which is then another."""
    first = await define(site, name="cpu")
    change = {"type": "counter", "unit": "s"}
    for headers, status in [
        ({}, 428),
        ({"If-Match": '"1"'}, 412),
        ({"If-Match": f"W/{first}"}, 412),
        ({"If-Match": first.strip('"')}, 412),
        ({"If-Match": f'"x", {first}'}, 200),
        ({"If-Match": first}, 412),
        ({"If-Match": "*"}, 200),
    ]:
        answer = await site.manage("PUT", f"{PATH}/cpu", json=change, headers=headers)
        assert answer.status_code == status, headers
    stored = await site.get(f"{PATH}/cpu")
    assert stored.headers["etag"] == answer.headers["etag"] != first
    assert stored.json()["version"] == 3
    assert (stored.json()["type"], stored.json()["aggregation"]) == ("counter", "rate")
    assert stored.json()["updated_at"] > stored.json()["created_at"]


async def test_a_definition_made_again_is_another(site: Site) -> None:
    """The ETag of a definition that was deleted does not fit the next one of its name."""
    first = await define(site, name="cpu")
    await site.manage("DELETE", f"{PATH}/cpu", headers={"If-Match": first})
    assert await define(site, name="cpu") != first
    stale = await site.manage(
        "PUT", f"{PATH}/cpu", json={"type": "gauge"}, headers={"If-Match": first}
    )
    assert stale.status_code == 412


async def test_a_change_leaves_nothing_of_the_old(site: Site) -> None:
    """PUT replaces: what the body leaves out is gone."""
    etag = (await site.manage("POST", PATH, json=CPU)).headers["etag"]
    path = f"{PATH}/cpu_usage"
    await site.manage("PUT", path, json={"type": "gauge"}, headers={"If-Match": etag})
    stored = (await site.get(path)).json()
    assert {stored[name] for name in CPU if name not in {"name", "type", "aggregation"}} == {None}


async def test_a_known_definition_is_not_sent_again(site: Site) -> None:
    """If-None-Match with its ETag is 304 until it changes."""
    etag = await define(site, name="cpu")
    headers = {"X-API-Key": site.keys["acme"], "If-None-Match": etag}
    known = await site.client.get(f"{PATH}/cpu", headers=headers)
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    change = {"type": "gauge", "unit": "s"}
    await site.manage("PUT", f"{PATH}/cpu", json=change, headers={"If-Match": etag})
    assert (await site.client.get(f"{PATH}/cpu", headers=headers)).status_code == 200


async def test_a_deletion_says_what_goes_and_then_it_is_gone(site: Site) -> None:
    """A dry run removes nothing and gives the ETag that the deletion needs; the samples stay."""
    await site.store("acme", "cpu_usage", {}, (at(1), 1))
    await site.manage("POST", PATH, json={**CPU, "type": "histogram"})
    path = f"{PATH}/cpu_usage"
    planned = await site.manage("DELETE", path, params={"dry_run": True})
    assert planned.status_code == 200
    assert planned.json()["dry_run"] is True
    assert len(planned.json()["effects"]) == 5
    assert (await site.get(path)).status_code == 200
    assert (await site.manage("DELETE", path)).status_code == 428
    assert (await site.manage("DELETE", path, headers={"If-Match": '"0"'})).status_code == 412
    gone = await site.manage("DELETE", path, headers={"If-Match": planned.headers["etag"]})
    assert gone.json() == {**planned.json(), "dry_run": False}
    assert (await site.get(path)).status_code == 404
    assert (await site.manage("DELETE", path, headers={"If-Match": "*"})).status_code == 404
    assert (await site.get("/api/v1/metrics/names")).json()["names"] == ["cpu_usage"]


async def test_definitions_are_paged_by_name(site: Site) -> None:
    """Following the cursor passes each once, those of the prefix only; it fits no other prefix."""
    for name in ("cp%", "cpu", "cpu_1", "cpu_2", "disk"):
        await define(site, name=name)
    seen: list[str] = []
    cursor = None
    while True:
        after: dict[str, str] = {"cursor": cursor} if cursor else {}
        page = (await site.get(PATH, prefix="cp", limit=2, **after)).json()
        seen += [one["name"] for one in page["definitions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert (await site.get(PATH, prefix="cpu", cursor=cursor)).status_code == 422
    assert seen == ["cp%", "cpu", "cpu_1", "cpu_2"]


async def test_there_is_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant can't fill the memory of ingest; the limit is each tenant's own."""
    monkeypatch.setattr("query.definitions.MOST", 1)
    await define(site, name="a")
    assert (await site.manage("POST", PATH, json={"name": "b", "type": "gauge"})).status_code == 409
    await define(site, "other", name="b")


async def test_other_tenants_and_readers_change_nothing(site: Site) -> None:
    """Another tenant's admin finds nothing there; a key that may read may not write, and the reverse."""
    etag = await define(site, name="cpu")
    path = f"{PATH}/cpu"
    change = {"json": {"type": "counter"}, "headers": {"If-Match": "*"}}
    assert (await site.manage("PUT", path, "other", **change)).status_code == 404
    assert (
        await site.manage("DELETE", path, "other", headers={"If-Match": "*"})
    ).status_code == 404
    assert (await site.manage("DELETE", path, "other", params={"dry_run": True})).status_code == 404
    assert (await site.get(path, "other")).status_code == 404
    assert (await site.get(PATH, "other")).json()["definitions"] == []
    reader, admin = site.keys["acme"], site.admin_keys["acme"]
    for method, key in [("PUT", reader), ("DELETE", reader), ("GET", admin)]:
        headers = {"X-API-Key": key, "If-Match": "*"}
        body = {"type": "counter"} if method == "PUT" else None
        refused = await site.client.request(method, path, headers=headers, json=body)
        assert refused.status_code == 403, method
    assert (await site.get(path)).headers["etag"] == etag


async def test_the_editor_can_not_write_for_another_tenant(site: Site) -> None:
    """The view refuses a row of another tenant, and changes none, in the role that the API has."""
    await define(site, "other", name="cpu")
    acme, other = site.tenants["acme"], site.tenants["other"]
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE headrace_editor")
        await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(acme))
        assert await connection.execute("UPDATE definitions_tenant SET unit = 'x'") == "UPDATE 0"
        assert await connection.execute("DELETE FROM definitions_tenant") == "DELETE 0"
        for statement, *arguments in (
            (
                "INSERT INTO definitions_tenant (tenant_id, name, type, aggregation) VALUES ($1, 'm', 'gauge', 'avg')",
                other,
            ),
            ("UPDATE definitions_tenant SET tenant_id = $1", other),
            ("UPDATE definitions SET unit = 'x'",),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute(statement, *arguments)
