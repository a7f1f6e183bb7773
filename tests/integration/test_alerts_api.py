"""Alerts and silences over the API and the commands."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from query import silences
from schemas.transitions import Transition
from sinks.alerts import AlertStore
from sinks.database import connect_pool
from sinks.keys import Tenants
from tests.alerting import Incident
from tests.sites import NOW, Site

ALERTS, SILENCES = "/api/v1/alerts", "/api/v1/silences"
LATER = (NOW + timedelta(hours=1)).isoformat()
QUIET = {"matchers": ["host=~[ab]"], "expires_at": LATER, "author": "eve", "comment": "new disks"}


@pytest.fixture
async def store(database: str) -> AsyncIterator[AlertStore]:
    async with await connect_pool(database, role="headrace_writer", application="test") as pool:
        yield AlertStore(pool)


async def record(store: AlertStore, *transitions: Transition) -> None:
    for one in transitions:
        await store.record(one)


async def listed(site: Site, **asked: Any) -> list[str]:
    """Hosts of the alerts in an answer."""
    answer = await site.get(ALERTS, **asked)
    assert answer.status_code == 200, answer.text
    return [one["labels"]["host"] for one in answer.json()["alerts"]]


async def three(site: Site, store: AlertStore) -> list[Incident]:
    """One that fires, one that is critical in another data centre, one that is over."""
    tenant = site.tenants["acme"]
    a = Incident(tenant, labels={"host": "a", "dc": "1"})
    b = Incident(tenant, rule="disk", labels={"host": "b", "dc": "2"}).again()
    c = Incident(tenant, labels={"host": "c", "severity": "page"}).again(timedelta(hours=2))
    await record(store, a.goes("pending"), a.goes("firing"))
    await record(store, b.goes("firing", "critical"))
    await record(store, c.goes("firing"), c.goes("resolved"))
    return [a, b, c]


async def test_alerts_are_found_by_state_rule_level_labels_and_time(
    site: Site, store: AlertStore
) -> None:
    """The newest change first; matchers see the rule and the level, too."""
    await three(site, store)
    assert await listed(site) == ["c", "b", "a"]
    assert await listed(site, state=["firing", "pending"]) == ["b", "a"]
    assert await listed(site, rule="disk") == ["b"]
    assert await listed(site, level="critical") == ["b"]
    assert await listed(site, match=["dc=~[12]", "host!=b"]) == ["a"]
    assert await listed(site, match=["dc=1", "dc=2"]) == []
    assert await listed(site, match="dc=") == ["c"]
    assert await listed(site, match="alertname=disk") == ["b"]
    assert await listed(site, match="severity=page") == ["c"]
    assert await listed(site, since="2026-06-01T12:30:00Z") == ["c", "b"]
    assert await listed(site, who="other") == []
    for bad in ({"state": "ended"}, {"match": "host"}, {"limit": 1001}, {"cursor": "x"}):
        assert (await site.get(ALERTS, **bad)).status_code == 422


@pytest.mark.parametrize("match", [None, "host=~h.*"])
async def test_pages_hold_each_alert_once(site: Site, store: AlertStore, match: str | None) -> None:
    """With and without an expression."""
    for n in range(7):
        incident = Incident(site.tenants["acme"], labels={"host": f"h{n}"})
        await record(store, incident.again(timedelta(hours=n // 2)).goes("firing"))
    found: list[str] = []
    asked: dict[str, Any] = {"limit": 2} | ({"match": match} if match else {})
    cursor = None
    while cursor is not None or not found:
        answer = (await site.get(ALERTS, **asked, **({"cursor": cursor} if cursor else {}))).json()
        found += [one["labels"]["host"] for one in answer["alerts"]]
        cursor = answer["next_cursor"]
    assert sorted(found) == [f"h{n}" for n in range(7)]
    assert (found[0], {found[5], found[6]}) == ("h6", {"h0", "h1"})


async def test_an_alert_has_its_history(site: Site, store: AlertStore) -> None:
    """The newest change first; all changes have a route of their own, by page."""
    a, _, c = await three(site, store)
    one = (await site.get(f"{ALERTS}/{a.alert}")).json()
    assert [(h["was"], h["state"], h["number"]) for h in one["history"]] == [
        ("pending", "firing", 2), ("inactive", "pending", 1),
    ]  # fmt: skip
    assert (one["value"], one["condition"]) == (600.0, "p95(http_req_duration) over 30s > 500")
    history = (await site.get("/api/v1/alert-history", limit=3)).json()
    assert [h["alert"] for h in history["changes"]][:2] == [c.alert, c.alert]
    rest = await site.get("/api/v1/alert-history", limit=3, cursor=history["next_cursor"])
    assert ([h["alert"] for h in rest.json()["changes"]], rest.json()["next_cursor"]) == (
        [a.alert, a.alert], None,
    )  # fmt: skip
    ended = await site.get("/api/v1/alert-history", alert=c.alert, state="resolved")
    assert len(ended.json()["changes"]) == 1
    assert (await site.get(f"{ALERTS}/{a.alert}", who="other")).status_code == 404
    assert (await site.get(f"{ALERTS}/nonsense")).status_code == 422


async def test_somebody_takes_care_of_an_alert(site: Site, store: AlertStore) -> None:
    """While it is pending or fires; of another's there is nothing to take care of."""
    a, _, c = await three(site, store)

    async def acknowledge(incident: Incident, who: str = "acme", **body: Any) -> Any:
        path = f"{ALERTS}/{incident.alert}/acknowledge"
        return await site.manage("POST", path, who, json={"author": "eve", **body})

    done = await acknowledge(a, comment="rolling back")
    assert done.status_code == 200
    by = done.json()["acknowledged"]
    assert (by["author"], by["comment"]) == ("eve", "rolling back")
    assert (await site.get(f"{ALERTS}/{a.alert}")).json()["acknowledged"] == by
    assert (await acknowledge(c)).status_code == 409
    assert (await acknowledge(a, who="other")).status_code == 404
    assert (await acknowledge(a, author="")).status_code == 422
    refused = await site.client.post(
        f"{ALERTS}/{a.alert}/acknowledge",
        headers={"X-API-Key": site.keys["acme"]},
        json={"author": "eve"},
    )
    assert refused.status_code == 403


async def test_silences_are_made_changed_and_ended(site: Site, store: AlertStore) -> None:
    """An alert names those that hush it; an ended one is still listed."""
    await three(site, store)
    made = await site.manage("POST", SILENCES, json=QUIET)
    assert (made.status_code, made.json()["state"]) == (201, "active")
    where = made.headers["location"]
    assert (await site.get(where)).json() == made.json()
    by = {
        one["labels"]["host"]: one["silenced_by"]
        for one in (await site.get(ALERTS)).json()["alerts"]
    }
    assert by == {"a": [made.json()["id"]], "b": [made.json()["id"]], "c": []}

    changed = {**QUIET, "matchers": ["host=a"], "starts_at": LATER}
    changed["expires_at"] = (NOW + timedelta(hours=2)).isoformat()
    for tag, status in (("", 428), ('"9-x"', 412), (made.headers["etag"], 200)):
        put = await site.manage(
            "PUT", where, json=changed, headers={"If-Match": tag} if tag else {}
        )
        assert put.status_code == status
    assert (put.json()["state"], put.json()["version"]) == ("pending", 2)
    assert (await site.get(SILENCES, state="active")).json()["silences"] == []

    ended = await site.manage("DELETE", where)
    assert (ended.json()["state"], ended.json()["starts_at"]) == (
        "expired", ended.json()["expires_at"],
    )  # fmt: skip
    assert (await site.manage("DELETE", where)).json() == ended.json()
    assert (await site.get(SILENCES)).json()["silences"] == [ended.json()]
    assert (await site.get(where, who="other")).status_code == 404
    assert (await site.manage("DELETE", where, "other")).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"matchers": []},
        {"matchers": ["host"]},
        {"matchers": ["host=~("]},
        {"matchers": ["host=a\0"]},
        {"matchers": ["a=b"] * 21},
        {"expires_at": NOW.isoformat()},
        {"starts_at": LATER},
        {"expires_at": "soon"},
        {"author": ""},
        {"tenant_id": "x"},
    ],
)
async def test_a_bad_silence_is_refused(site: Site, change: dict[str, Any]) -> None:
    """422, and nothing is silenced."""
    refused = await site.manage("POST", SILENCES, json={**QUIET, **change})
    assert refused.status_code == 422, refused.text
    assert (await site.get(SILENCES)).json()["silences"] == []


async def test_silences_have_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that have not expired."""
    monkeypatch.setattr(silences, "MOST", 1)
    first = await site.manage("POST", SILENCES, json=QUIET)
    assert (await site.manage("POST", SILENCES, json=QUIET)).status_code == 409
    await site.manage("DELETE", first.headers["location"])
    assert (await site.manage("POST", SILENCES, json=QUIET)).status_code == 201
    page = (await site.get(SILENCES, limit=1)).json()
    rest = (await site.get(SILENCES, limit=1, cursor=page["next_cursor"])).json()
    assert (len(page["silences"]), len(rest["silences"]), rest["next_cursor"]) == (1, 1, None)


def command(dsn: str, key: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `headrace …` as a tenant."""
    env = {"HEADRACE_DATABASE": dsn, "HEADRACE_API_KEY": key, "HEADRACE_KAFKA": "unused:1"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**os.environ, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_commands(site: Site, store: AlertStore, database: str, tmp_path: Path) -> None:
    """What the API does, from a shell; what labels hold does nothing to the terminal."""
    a, *_ = await three(site, store)
    await record(
        store, Incident(site.tenants["acme"], labels={"host": "\x1b[2J[red]"}).goes("firing")
    )
    key = site.admin_keys["acme"]
    both = await _key(site)

    def run(*arguments: str, key: str = both) -> str:
        done = command(database, key, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    table = run("alert", "list")
    assert ("host=a" in table, "host=c" in table, "\x1b" in table) == (True, False, False)
    found = json.loads(run("alert", "list", "--all", "--match", "host=~[abc]", "--json"))
    assert {one["labels"]["host"] for one in found["alerts"]} == {"a", "b", "c"}
    by = json.loads(run("alert", "ack", a.alert[:8], "--author", "eve", "--json", key=key))
    assert by["acknowledged"]["author"] == "eve"
    assert "eve" in run("alert", "show", a.alert[:8])
    silence = json.loads(
        run("alert", "silence", "host=a", "dc=1", "--for", "2h", "--json", key=key)
    )
    assert (silence["state"], silence["matchers"]) == ("active", ["host=a", "dc=1"])
    assert silence["id"] in run("alert", "silences")
    assert "expired" in run("alert", "expire", silence["id"], key=key)
    assert "no silences" in run("alert", "silences")
    for wrong, told in (
        (("alert", "show", "ffff"), "no alert"),
        (("alert", "silence", "host", "--for", "2h"), "must be a label"),
        (("alert", "silence", "a=b", "--for", "long"), "no duration"),
        (("alert", "ack", a.alert, "--author", "a" * 257), "author: "),
    ):
        done = command(database, both, *wrong)
        assert done.returncode == 2, wrong
        assert told in done.stderr
        assert "Traceback" not in done.stderr

    document = tmp_path / "n.yaml"
    document.write_text(
        "receivers:\n  - name: hook\n    webhook: {url: https://x.example.org, secret: secret://env/S}\n"
        "route: {receiver: hook, group_wait: 10s}\n"
    )
    apply = ("notifications", "apply", "-f", str(document), "--json")
    assert json.loads(run(*apply, "--dry-run"))["changed"] is False
    assert command(database, both, "notifications", "show").returncode == 2
    assert json.loads(run(*apply))["changed"] is True
    assert json.loads(run(*apply))["changed"] is False
    assert json.loads(run("notifications", "show", "--json"))["route"]["group_wait"] == "10s"
    document.write_text(run("notifications", "show"))
    assert json.loads(run(*apply))["changed"] is False
    document.write_text(document.read_text().replace("secret://env/S", "s3cret"))
    done = command(database, both, *apply)
    assert done.returncode == 2
    assert "receivers.0.webhook.secret: must refer to the secret" in done.stderr
    assert "s3cret" not in done.stderr


async def _key(site: Site) -> str:
    return await Tenants(site.admin).create_key("acme", ["read", "admin"])
