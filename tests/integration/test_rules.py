"""Rules over the API and by files: made, changed by one editor at a time, deleted, and heard of."""

import asyncio
import json
from pathlib import Path

import pytest

from sinks.database import connect_pool
from sinks.definitions import ChangesOfDefinitions
from sinks.rules import load_rules
from tests.integration.test_storage_commands import answer, run
from tests.sites import Site

PATH = "/api/v1/rules"
RULE = {
    "name": "items-slow",
    "metric": "http_req_duration",
    "match": ["name=list"],
    "function": "p95",
    "window": "30s",
    "operator": ">",
    "critical": 500.0,
    "for": "10s",
}
FILE = f"rules: [{json.dumps(RULE)}, {{name: silent, metric: up, absent_for: 5m}}]"


async def test_a_rule_is_made_changed_and_deleted(site: Site) -> None:
    """201 where Location says; a change names the version that it is of; then it is gone."""
    made = await site.manage("POST", PATH, json=RULE)
    assert made.status_code == 201, made.text
    assert {key: made.json()["rule"][key] for key in RULE} == RULE
    assert (await site.manage("POST", PATH, json=RULE)).status_code == 409
    where = made.headers["location"]
    read = await site.get(where)
    assert (read.json(), read.headers["etag"]) == (made.json(), made.headers["etag"])
    assert [one["rule"]["name"] for one in (await site.get(PATH)).json()["rules"]] == ["items-slow"]

    old = {"If-Match": read.headers["etag"]}
    changed = await site.manage("PUT", where, json=RULE | {"critical": 600}, headers=old)
    assert (changed.json()["version"], changed.json()["rule"]["critical"]) == (2, 600)
    assert (await site.manage("PUT", where, json=RULE, headers=old)).status_code == 412
    assert (await site.manage("PUT", where, json=RULE)).status_code == 428
    other = await site.manage("PUT", where, json=RULE | {"name": "x"}, headers={"If-Match": "*"})
    assert other.status_code == 422
    assert (await site.manage("DELETE", where, headers={"If-Match": "*"})).status_code == 200
    assert (await site.get(where)).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"window": "30"}, "body.window"),
        ({"match": ["x"]}, "body.match.0"),
        ({"name": "definition:x"}, "name"),
        ({"critical": "500"}, "body.critical"),
    ],
)
async def test_a_bad_rule_is_told_by_field(
    site: Site, change: dict[str, object], field: str
) -> None:
    """422, and nothing is made."""
    refused = await site.manage("POST", PATH, json=RULE | change)
    assert refused.status_code == 422
    assert field in refused.text
    assert (await site.get(PATH)).json()["rules"] == []


async def test_files_are_applied_whole(site: Site, database: str, tmp_path: Path) -> None:
    """Said first, then made; repeated without effect; what is wrong changes nothing; pruned when asked."""
    path = tmp_path / "rules.yaml"
    path.write_text(FILE)
    whose = ("--api-key", site.admin_keys["acme"])
    arguments = ("rules", "apply", "-f", str(path), *whose)
    made: list[dict[str, object]] = [
        {"kind": "make", "name": name, "fields": {}} for name in ("items-slow", "silent")
    ]
    assert answer(database, *arguments, "--dry-run") == {"dry_run": True, "changes": made}
    assert (await site.get(PATH)).json()["rules"] == []
    assert answer(database, *arguments)["changes"] == made
    assert answer(database, *arguments)["changes"] == []

    path.write_text(FILE.replace("500.0", "700.0").replace("silent", "quiet"))
    told = run(database, *arguments, "--prune")
    assert told.returncode == 0, told.stderr
    for line in ("~ items-slow", "critical: 500.0 → 700.0", "+ quiet", "- silent", "3 changed"):
        assert line in told.stdout

    path.write_text(FILE.replace("10s", "10"))
    refused = run(database, *arguments)
    assert refused.returncode == 2
    assert f"{path}: rule 'items-slow': for: '10' is no duration" in refused.stderr
    shown = run(database, "rules", "show", "items-slow", *whose)
    path.write_text(shown.stdout)
    assert answer(database, *arguments)["changes"] == []
    assert run(database, "rules", "delete", "quiet", *whose).returncode == 0
    listed = answer(database, "rules", "list", *whose)["rules"]
    assert [one["rule"]["name"] for one in listed] == ["items-slow"]


async def test_processes_hear_of_rules_and_of_what_definitions_say(
    site: Site, database: str
) -> None:
    """A change wakes them; a definition's threshold is a rule; disabled and unreadable ones stay out."""
    async with await connect_pool(
        database, role="headrace_writer", application="test", max_size=2
    ) as pool:
        woken = asyncio.Event()
        watching = asyncio.create_task(ChangesOfDefinitions(pool, woken.set).run())
        while not woken.is_set():
            # Until it listens nothing is heard: each round is a change.
            await site.manage("DELETE", f"{PATH}/items-slow", headers={"If-Match": "*"})
            assert (await site.manage("POST", PATH, json=RULE)).status_code == 201
            await asyncio.sleep(0.05)
        watching.cancel()
        await site.manage("POST", PATH, json=RULE | {"name": "off", "enabled": False})
        threshold = {"warning": 20, "critical": 5}
        definition = {"name": "disk/free", "type": "gauge", "alert_threshold": threshold}
        await site.manage("POST", "/api/v1/metrics/definitions", json=definition)
        await site.admin.execute(
            "INSERT INTO rules (tenant_id, name, document) SELECT tenant_id, 'odd', '{\"x\": 1}' FROM tenants "
            "WHERE name = 'acme'"
        )
        found = {one.rule.name: one.rule for one in await load_rules(pool)}
    assert found.keys() == {"items-slow", "definition:disk_free"}
    low = found["definition:disk_free"]
    assert (low.metric, low.operator, low.warning, low.critical) == ("disk/free", "<=", 20, 5)
