"""Playbooks, remediations and pauses over HTTP."""

import json
from typing import Any

from schemas.named_queries import load
from tests.leaks.planted import INTRUDER, VICTIM, Belongings, belongings, plant
from tests.sites import Site, serving

PLAYBOOKS, REMEDIATIONS, PAUSES = (
    f"/api/v1/{name}" for name in ("playbooks", "remediations", "remediation-pauses")
)


def document(name: str, *includes: str, seconds: int = 1) -> dict[str, Any]:
    wait = {"id": "wait", "do": {"action": "wait", "duration": f"{seconds}s"}}
    steps = [
        {"id": f"i-{other}", "do": {"action": "playbook", "playbook": other}} for other in includes
    ]
    return {"name": name, "steps": [wait, *steps]}


async def put(site: Site, name: str, body: Any) -> Any:
    return await site.manage("PUT", f"{PLAYBOOKS}/{name}", json=body)


async def test_every_named_query_is_valid_sql(database: str) -> None:
    """Each query of the stores can be prepared by the role that runs it."""
    async with (
        serving(database) as site,
        site.admin.acquire() as connection,
        connection.transaction(),
    ):
        await connection.execute("SET LOCAL ROLE headrace_writer")
        for file in ("playbooks.sql", "remediations.sql"):
            for query in load("sinks.sql", file).values():
                await connection.prepare(query)


async def test_playbooks_are_kept_in_versions(database: str) -> None:
    """The same again is the same version; each is there to be seen; the last one is shown."""
    async with serving(database) as site:
        versions = [
            (await put(site, "a", document("a", seconds=seconds))).json()["version"]
            for seconds in (1, 1, 2, 1)
        ]
        assert versions == [1, 1, 2, 3]
        second = (await site.get(f"{PLAYBOOKS}/a", version=2)).json()
        assert second["playbook"]["steps"][0]["do"]["duration"] == "2s"
        assert (await site.get(f"{PLAYBOOKS}/a")).json()["version"] == 3
        assert (await site.get(f"{PLAYBOOKS}/a", version=4)).status_code == 404
        for name in "bcd":
            assert (await put(site, name, document(name))).status_code == 200
        page = (await site.get(PLAYBOOKS, limit=3)).json()
        more = (await site.get(PLAYBOOKS, limit=3, cursor=page["next_cursor"])).json()
        assert [p["playbook"]["name"] for p in page["playbooks"] + more["playbooks"]] == list(
            "abcd"
        )
        assert more["next_cursor"] is None
        gone = await site.manage("DELETE", f"{PLAYBOOKS}/a")
        assert gone.json() == {"name": "a", "versions": 3}
        assert (await site.manage("DELETE", f"{PLAYBOOKS}/a")).status_code == 404
        assert (await site.get(f"{PLAYBOOKS}/a")).status_code == 404


async def test_playbooks_fit_together(database: str) -> None:
    """No include of what is not there, none without end, none taken from under another."""
    async with serving(database) as site:
        missing = await put(site, "a", document("a", "b"))
        assert (missing.status_code, "no playbook 'b'" in missing.text) == (422, True)
        await put(site, "b", document("b"))
        assert (await put(site, "a", document("a", "b"))).status_code == 200
        cycle = await put(site, "b", document("b", "a"))
        assert (cycle.status_code, "without end" in cycle.text) == (422, True)
        taken = await site.manage("DELETE", f"{PLAYBOOKS}/b")
        assert (taken.status_code, "included by a" in taken.text) == (409, True)
        other = await put(site, "c", document("a"))
        assert (other.status_code, "calls itself" in other.text) == (422, True)
        bad = await put(site, "c", {"name": "c", "steps": [{"id": "x", "do": {"action": "shell"}}]})
        assert (bad.status_code, "shell" in bad.text) == (422, True)


async def _planted(site: Site) -> tuple[Belongings, Belongings]:
    victim, intruder = belongings(site, VICTIM), belongings(site, INTRUDER)
    for own in (victim, intruder):
        await plant(site, own)
    return victim, intruder


async def test_a_remediation_is_shown_with_its_trail(database: str) -> None:
    """Filtered and paged; each line of the trail says who did what."""
    async with serving(database) as site:
        own, _ = await _planted(site)
        for number in range(3):
            await site.admin.execute(
                "INSERT INTO remediations (tenant_id, rule, fingerprint, episode, level, labels, incident, "
                "playbook, owner, state, dry_run) VALUES ($1, 'r', $2, now(), 'warning', '{}', '{}', 'p', '', "
                "'refused', false)",
                own.tenant_id,
                str(number),
            )
        found = (await site.get(REMEDIATIONS)).json()["remediations"]
        assert [one["state"] for one in found] == ["refused"] * 3 + ["awaiting"]
        seen = []
        cursor = None
        while True:
            asked: dict[str, Any] = (
                {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
            )
            page = (await site.get(REMEDIATIONS, **asked)).json()
            seen += page["remediations"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == found
        refused = (await site.get(REMEDIATIONS, state="refused", rule="r")).json()["remediations"]
        assert len(refused) == 3
        one = (await site.get(f"{REMEDIATIONS}/{own.remediation_id}")).json()
        assert one["labels"] == {"host": f"{own.word}-host"}
        assert one["incident"] == {"condition": f"{own.word}-condition"}
        (line,) = one["trail"]
        assert (line["step"], line["input"], line["status"]) == (
            f"{own.word}-step",
            {"a": own.word},
            "planned",
        )


async def test_only_what_waits_can_be_approved(database: str) -> None:
    """By the tenant's admin, with a name; not another's, not what has ended."""
    async with serving(database) as site:
        own, other = await _planted(site)
        at = f"{REMEDIATIONS}/{own.remediation_id}/approve"
        assert (await site.manage("POST", at, json={"who": "ana"})).status_code == 200
        assert (await site.manage("POST", at, json={"who": " "})).status_code == 422
        assert (await site.manage("POST", at, json={})).status_code == 422
        theirs = f"{REMEDIATIONS}/{other.remediation_id}/reject"
        assert (await site.manage("POST", theirs, json={"who": "ana"})).status_code == 404
        await site.admin.execute("UPDATE remediations SET state = 'cancelled'")
        late = await site.manage("POST", at, json={"who": "ana"})
        assert (late.status_code, "It is cancelled" in late.text) == (409, True)


async def test_pauses(database: str) -> None:
    """From now on, or in a time to come; all are ended by resuming."""
    async with serving(database) as site:
        now = await site.manage("POST", PAUSES, json={"actor": "ana", "reason": "network"})
        assert (now.status_code, now.json()["ends_at"]) == (201, None)
        window = {"begins_at": "2126-01-01T22:00:00Z", "ends_at": "2126-01-02T02:00:00Z"}
        assert (
            await site.manage("POST", PAUSES, json={"actor": "ana", **window})
        ).status_code == 201
        found = (await site.get(PAUSES)).json()["pauses"]
        assert [one["reason"] for one in found] == ["network", ""]
        for bad in (
            {"ends_at": "2020-01-01T00:00:00Z"},
            {**window, "ends_at": window["begins_at"]},
        ):
            answer = await site.manage("POST", PAUSES, json={"actor": "ana", **bad})
            assert answer.status_code in {409, 422}
        assert len((await site.manage("DELETE", PAUSES)).json()["pauses"]) == 2
        assert json.loads((await site.get(PAUSES)).text) == {"pauses": []}
