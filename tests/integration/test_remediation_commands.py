"""Playbooks and remediations from the command line, carried out by a worker process."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from temporalio.client import Client

from sinks.database import connect_pool
from sinks.keys import Tenants
from tests.ingestion import Bench
from tests.integration.test_storage_commands import run
from tests.processes import headrace
from tests.remedies import EPISODE, FAST, Service, Ward, fired, resolved, service

pytestmark = pytest.mark.timeout(180)

PLAYBOOK = """
name: restart
description: Restarts what is slow.
steps:
- id: mark
  do: {action: command, command: note, parameters: {host: "{{ labels.host }}"}}
- id: flip
  do: {action: http, url: "URL/{{ labels.host }}", headers: {Authorization: "Bearer {{ secret://env/OPS }}"}}
---
name: nothing
steps: [{id: wait, do: {action: wait, duration: 1s}}]
"""
GRANTS = """
commands:
  note: {tenants: all, argv: [/bin/echo, "{host}"], parameters: {host: "[a-z0-9-]+"}}
secrets:
  secret://env/OPS: {tenants: all}
"""


ASKING = FAST.model_copy(
    update={"playbook": "restart", "approval": "required", "verify_after": timedelta(hours=1)}
)


@pytest.fixture
async def key(bench: Bench) -> str:
    """An admin key of the bench's tenant."""
    async with await connect_pool(bench.dsn, role=None, application="test", max_size=1) as pool:
        name = await pool.fetchval("SELECT name FROM tenants WHERE tenant_id = $1", bench.tenant)
        return await Tenants(pool).create_key(name, ["read", "admin"])


async def command(env: dict[str, str], *arguments: str) -> str:
    """What a command prints."""
    done = await asyncio.to_thread(run, env["HEADRACE_DATABASE"], *arguments, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
async def shop() -> AsyncIterator[Service]:
    async with service() as found:
        yield found


@pytest.fixture
def file(shop: Service, tmp_path: Path) -> Path:
    """Playbooks that ask the service."""
    (tmp_path / "grants.yaml").write_text(GRANTS)
    found = tmp_path / "playbooks.yaml"
    found.write_text(PLAYBOOK.replace("URL", shop.url))
    return found


async def test_playbooks_are_applied_shown_and_rehearsed(
    bench: Bench, key: str, shop: Service, file: Path, tmp_path: Path
) -> None:
    """A dry run stores nothing; the same again changes nothing; what is shown can be applied."""
    env = bench.env(HEADRACE_API_KEY=key, OPS="zq-secret")
    dry = json.loads(
        await command(env, "playbooks", "apply", "-f", str(file), "--dry-run", "--json")
    )
    assert [one["change"] for one in dry["playbooks"]] == ["new", "new"]
    for change in ("new", "unchanged"):
        text = await command(env, "playbooks", "apply", "-f", str(file), "--json")
        assert [one["change"] for one in json.loads(text)["playbooks"]] == [change] * 2
    assert "Restarts what is slow." in await command(env, "playbooks", "list")
    shown = tmp_path / "shown.yaml"
    await asyncio.to_thread(shown.write_text, await command(env, "playbooks", "show", "restart"))
    assert "unchanged" in await command(env, "playbooks", "apply", "-f", str(shown))
    told = await command(env, "playbooks", "test", "restart", "-f", str(file), "-l", "host=web-1")
    assert f"{shop.url}/web-1" in told
    assert "zq-secret" not in told


async def test_a_worker_carries_out_what_is_approved_by_hand(
    *, bench: Bench, temporal: str, key: str, shop: Service, file: Path, tmp_path: Path
) -> None:
    """By a command, and over HTTP; then all of it is paused and resumed."""
    env = bench.env(
        HEADRACE_TEMPORAL=temporal,
        HEADRACE_API_KEY=key,
        HEADRACE_REMEDIATION_GRANTS=str(tmp_path / "grants.yaml"),
        HEADRACE_OUTGOING_ALLOW="127.0.0.0/8",
        OPS="zq-secret",
    )
    client = await Client.connect(temporal)
    queue = f"{bench.topics.prefix}headrace"
    ward = Ward(bench.dsn, bench.pool, client, bench.tenant, queue)
    await command(env, "playbooks", "apply", "-f", str(file))
    with (
        headrace("worker", env=env, log=tmp_path / "log") as worker,
        headrace("api", env=env, log=tmp_path / "api.log") as api,
    ):
        await asyncio.gather(worker.ready(), api.ready())
        await _approve_by_command(env, ward, shop)
        await _approve_over_http(f"http://127.0.0.1:{api.port}", key, ward)
        await _pause(env, ward)
        assert await worker.stop() == 0


async def _approve_by_command(env: dict[str, str], ward: Ward, shop: Service) -> None:
    alert = fired(ward.tenant, remediation=ASKING)
    await ward.starter.handle(alert)
    row = await ward.reached("awaiting", "refused")
    assert row["state"] == "awaiting", row["reason"]
    one = str(row["remediation_id"])
    assert one in await command(env, "remediation", "list", "--state", "awaiting")
    assert "approved" in await command(env, "remediation", "approve", one, "--by", "ana")
    await ward.reached("verifying")
    arguments = ("remediation", "reject", one)
    late = await asyncio.to_thread(run, ward.dsn, *arguments, **env)
    assert (late.returncode, "nobody waits" in late.stderr) == (1, True)
    await ward.starter.handle(resolved(alert))
    await ward.reached("succeeded")
    told = await command(env, "remediation", "show", one)
    assert ("ana" in told, "zq-secret" in told) == (True, False)
    facts = json.loads(await command(env, "remediation", "show", one, "--json"))
    assert [(line["step"], line["status"], line["output"]) for line in facts["trail"][2:]] == [
        ("", "approved", ""),
        ("mark", "succeeded", "web-1"),
        ("flip", "succeeded", "200 heard "),
    ]
    assert shop.asked[0][2]["Authorization"] == "Bearer zq-secret"


async def _approve_over_http(api: str, key: str, ward: Ward) -> None:
    later = EPISODE + timedelta(hours=1)
    alert = fired(ward.tenant, remediation=ASKING, rule="http", episode=later)
    await ward.starter.handle(alert)
    row = await ward.reached("awaiting", episode=later)
    url = f"{api}/api/v1/remediations/{row['remediation_id']}"
    async with aiohttp.ClientSession(headers={"X-API-Key": key}) as http:
        async with http.post(f"{url}/approve", json={"who": "bob"}) as answer:
            assert (answer.status, (await answer.json())["approver"]) == (200, "bob")
        await ward.reached("verifying", episode=later)
        async with http.post(f"{url}/reject", json={"who": "bob"}) as answer:
            assert answer.status == 409
        await ward.starter.handle(resolved(alert))
        await ward.reached("succeeded", episode=later)
        async with http.get(url) as answer:
            assert (await answer.json())["reason"] == "the alert resolved"


async def _pause(env: dict[str, str], ward: Ward) -> None:
    pause = ("remediation", "pause", "--all-tenants", "--by", "ana", "--for", "2h")
    assert "paused for all tenants" in await command(env, *pause)
    assert "paused for all tenants" in await command(env, "remediation", "list")
    later = EPISODE + timedelta(hours=5)
    await ward.starter.handle(fired(ward.tenant, remediation=ASKING, rule="o", episode=later))
    assert "paused by ana" in (await ward.reached("refused", episode=later))["reason"]
    assert "1 pauses ended" in await command(env, "remediation", "resume", "--all-tenants")


def test_files_that_are_wrong_are_told_where(database: str, tmp_path: Path) -> None:
    """The file, the document and the field; nothing is stored. A wrong file of grants keeps a worker from starting."""
    file = tmp_path / "bad.yaml"
    for text, words in (
        ("name: a\nsteps: [{id: x, do: {action: shell}}]", "document 1 is no playbook"),
        ("name: a\nname: b", "line 2, column 1: 'name' is given twice"),
        ("a: &x [*x]", "anchors and aliases"),
    ):
        file.write_text(text)
        done = run(database, "playbooks", "test", "a", "-f", str(file))
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    file.write_text("commands: {a: {argv: [ls]}}")
    done = run(database, "playbooks", "test", "a", "-f", str(tmp_path / "none.yaml"))
    assert "can't be read" in done.stderr
    good = tmp_path / "good.yaml"
    good.write_text("name: a\nsteps: [{id: x, do: {action: wait, duration: 1s}}]")
    done = run(
        database, "playbooks", "test", "a", "-f", str(good), HEADRACE_REMEDIATION_GRANTS=str(file)
    )
    assert (done.returncode, "commands.a.tenants" in done.stderr) == (2, True), done.stderr
