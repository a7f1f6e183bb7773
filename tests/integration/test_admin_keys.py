"""API keys that a tenant's admin manages over the API: this tenant's, and no other's."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from schemas.errors import Invalid
from schemas.keys import PREFIX, key_hash
from sinks.keys import CachePolicy, DatabaseKeyring, Tenants
from tests.sites import Site

PATH = "/api/v1/keys"
HOUR = timedelta(hours=1)


async def make(site: Site, who: str = "acme", **asked: Any) -> dict[str, Any]:
    """Make a key over the API."""
    made = await site.manage("POST", PATH, who, json={"scopes": ["read"], **asked})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def found(site: Site, key: str) -> set[str] | None:
    """Scopes of a key, past every cache."""
    credential = await DatabaseKeyring(site.admin, CachePolicy(ttl=0)).find(key)
    return None if credential is None else set(credential.scopes)


def life(key: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])


async def test_a_made_key_works_and_is_shown_once(site: Site) -> None:
    """It has its tenant and scopes; no other answer holds it, and no cache may keep this one."""
    made = await site.manage("POST", PATH, json={"scopes": ["read", "ingest", "read"]})
    key = made.json()["key"]
    assert made.headers["cache-control"] == "no-store"
    assert key.startswith(PREFIX)
    credential = await DatabaseKeyring(site.admin).find(key)
    assert credential is not None
    assert credential.tenant_id == site.tenants["acme"]
    assert credential.scopes == frozenset({"read", "ingest"})
    listed = await site.manage("GET", PATH)
    assert key not in listed.text
    assert made.json()["id"] == key_hash(key).hex()[:12] == listed.json()["keys"][0]["id"]
    answer = await site.client.get("/api/v1/metrics/names", headers={"X-API-Key": key})
    assert answer.status_code == 200


async def test_a_key_may_expire(site: Site) -> None:
    """It expires so many days after it was made, or never."""
    assert life(await make(site, expires_in_days=30)) == timedelta(days=30)
    assert (await make(site))["expires_at"] is None


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "body.scopes"),
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["root"]}, "body.scopes.0"),
        ({"scopes": "read"}, "body.scopes"),
        ({"scopes": ["read"] * 4}, "body.scopes"),
        ({"scopes": ["read"], "expires_in_days": 0}, "body.expires_in_days"),
        ({"scopes": ["read"], "expires_in_days": 10**12}, "body.expires_in_days"),
        ({"scopes": ["read"], "expires_in_days": True}, "body.expires_in_days"),
        ({"scopes": ["read"], "tenant_id": "x"}, "body.tenant_id"),
        ({"scopes": ["read"], "tenant": "other"}, "body.tenant"),
    ],
)
async def test_a_bad_key_is_not_made(site: Site, asked: dict[str, Any], field: str) -> None:
    """422 names the field; a tenant can't be asked for."""
    before = await site.admin.fetchval("SELECT count(*) FROM api_keys")
    refused = await site.manage("POST", PATH, json=asked)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert await site.admin.fetchval("SELECT count(*) FROM api_keys") == before


async def test_a_rotated_key_has_a_successor_and_a_grace(site: Site) -> None:
    """The new key has the scopes and the life of the old one, which works a day longer."""
    old = await make(site, scopes=["read", "ingest"], expires_in_days=90)
    rotated = await site.manage("POST", f"{PATH}/{old['id']}/rotate")
    assert rotated.status_code == 201
    assert rotated.headers["cache-control"] == "no-store"
    new = rotated.json()
    assert await found(site, new["key"]) == await found(site, old["key"]) == {"read", "ingest"}
    assert life(new) == timedelta(days=90)
    assert new["replaces"]["id"] == old["id"]
    ends = datetime.fromisoformat(new["replaces"]["expires_at"])
    assert ends - datetime.fromisoformat(new["created_at"]) == 24 * HOUR


async def test_the_grace_is_a_choice_and_never_a_longer_life(site: Site) -> None:
    """With none the old key ends at once; a grace beyond its own end does not move that."""
    leaked, dying = await make(site), await make(site, expires_in_days=1)
    for key, grace in ((leaked, 0), (dying, 1000)):
        rotated = await site.manage(
            "POST", f"{PATH}/{key['id']}/rotate", json={"grace_hours": grace}
        )
        assert rotated.status_code == 201
    assert await found(site, leaked["key"]) is None
    assert rotated.json()["replaces"]["expires_at"] == dying["expires_at"]
    again = await site.manage("POST", f"{PATH}/{leaked['id']}/rotate")
    assert again.status_code == 409


@pytest.mark.parametrize("grace", [-1, 10**9, 1.5, "1", None])
async def test_a_bad_grace_is_refused(site: Site, grace: Any) -> None:
    """422, and no key is made."""
    key = await make(site)
    path = f"{PATH}/{key['id']}/rotate"
    refused = await site.manage("POST", path, json={"grace_hours": grace})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.grace_hours")


async def test_a_revoked_key_stops_working(site: Site) -> None:
    """Twice is as good as once: the time of the first stays. It can't be rotated back to life."""
    key = await make(site)
    revoked = await site.manage("DELETE", f"{PATH}/{key['id']}")
    assert revoked.json()["revoked_at"] is not None
    assert await found(site, key["key"]) is None
    assert (await site.manage("DELETE", f"{PATH}/{key['id']}")).json() == revoked.json()
    assert (await site.manage("POST", f"{PATH}/{key['id']}/rotate")).status_code == 409


async def test_keys_are_paged_from_the_newest_on(site: Site) -> None:
    """Each once; dead ones only where they are asked for."""
    made = [(await make(site))["id"] for _ in range(5)]
    await site.manage("DELETE", f"{PATH}/{made[0]}")

    async def listed(**query: Any) -> list[str]:
        seen, cursor = [], None
        while True:
            page = await site.manage(
                "GET", PATH, params={**query, "limit": 2, **({"cursor": cursor} if cursor else {})}
            )
            seen += [key["id"] for key in page.json()["keys"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return seen

    first = {key_hash(key).hex()[:12] for key in (site.keys["acme"], site.admin_keys["acme"])}
    assert (await listed())[:4] == made[:0:-1]
    assert (await listed(dead=True))[:5] == made[::-1]
    assert set(await listed(dead=True)) == {*made, *first}


async def test_another_tenants_keys_are_not_there(site: Site) -> None:
    """They are in no list; their ids are unknown, and they go on working."""
    key = await make(site, "other")
    assert key["id"] not in (await site.manage("GET", PATH)).text
    asked: list[httpx.Response] = [
        await site.manage("DELETE", f"{PATH}/{key['id']}"),
        await site.manage("POST", f"{PATH}/{key['id']}/rotate"),
    ]
    assert [one.status_code for one in asked] == [404, 404]
    assert await found(site, key["key"]) == {"read"}


async def test_only_an_admin_manages_keys(site: Site) -> None:
    """Other scopes get 403, also for reading the list."""
    key = await make(site, scopes=["read", "ingest"])
    headers = {"X-API-Key": key["key"]}
    for method, path in [
        ("GET", PATH),
        ("POST", PATH),
        ("POST", f"{PATH}/{key['id']}/rotate"),
        ("DELETE", f"{PATH}/{key['id']}"),
    ]:
        body = {"scopes": ["admin"]} if path == PATH and method == "POST" else None
        answer = await site.client.request(method, path, headers=headers, json=body)
        assert answer.status_code == 403, (method, path)
    assert await found(site, key["key"]) == {"read", "ingest"}


@pytest.mark.parametrize("key_id", ["x", "0" * 11, "%", "____________", "0" * 65, "0" * 12 + "%0A"])
async def test_what_is_no_id_is_refused(site: Site, key_id: str) -> None:
    """No pattern reaches the search."""
    assert (await site.manage("DELETE", f"{PATH}/{key_id}")).status_code in {404, 422}
    assert await found(site, site.admin_keys["acme"]) == {"admin"}


async def test_there_is_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good keys are counted, each tenant's for itself; a revoked one makes room."""
    monkeypatch.setattr("query.keys.MOST", 3)
    key = await make(site)
    assert (await site.manage("POST", PATH, json={"scopes": ["read"]})).status_code == 409
    assert (await site.manage("POST", f"{PATH}/{key['id']}/rotate")).status_code == 409
    await make(site, "other")
    await site.manage("DELETE", f"{PATH}/{key['id']}")
    await make(site)


async def test_the_editor_can_not_make_keys_for_another_tenant(site: Site) -> None:
    """In the role that the API has, no statement writes a key of another tenant, or its scopes."""
    acme, other = site.tenants["acme"], site.tenants["other"]
    async with site.admin.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE headrace_editor")
        await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(acme))
        for statement, *arguments in (
            (
                "INSERT INTO api_keys_tenant (key_hash, tenant_id, scopes) VALUES (sha256('x'), $1, '{read}')",
                other,
            ),
            ("UPDATE api_keys_tenant SET tenant_id = $1", other),
            ("UPDATE api_keys_tenant SET scopes = '{admin}'",),
            ("SELECT * FROM api_keys",),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute(statement, *arguments)


async def test_an_operator_rotates_by_key_or_id(site: Site) -> None:
    """As over the API: the same scopes and life, and a grace; what is not good can't be rotated."""
    tenants = Tenants(site.admin)
    old = await tenants.create_key("acme", ["ingest"])
    new = await tenants.rotate(old)
    assert await found(site, new) == await found(site, old) == {"ingest"}
    newest = await tenants.rotate(key_hash(new).hex()[:12], timedelta(0))
    assert await found(site, new) is None
    assert await found(site, newest) == {"ingest"}
    facts = {one.id: one for one in await tenants.keys("acme")}
    ends = facts[key_hash(old).hex()[:12]].expires_at
    assert ends is not None
    assert ends - facts[key_hash(new).hex()[:12]].created_at == 24 * HOUR
    for bad in (new, "0" * 12, "hr_unknown", "%"):
        with pytest.raises(Invalid):
            await tenants.rotate(bad)
