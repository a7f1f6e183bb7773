"""A run beside another, over a real database: through the API, and as a user of the commands has it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from deploy.cli import main
from query.results import INTERVALS
from sinks.keys import Tenants
from tests.outages import database_away
from tests.run_results import FIRST, HOSTILE, Night, store, store_times
from tests.sites import Site, serving, store_run
from tests.year_of_runs import Nights

PATH = "/api/v1/baselines"
SLOWER = "/items/07"
REPEATS = 20
_ASKED = """
SELECT max(query_start) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'headrace cli' AND state = 'idle'
"""

_LOOKS = 6


@dataclass
class Nightly:
    """Thirteen nights of a test with 20 endpoints, and those that follow."""

    site: Site
    nights: Nights
    runs: list[UUID]

    async def night(self, **how: Any) -> UUID:
        """Store the next night's run."""
        verdict = how.pop("verdict", "passed")
        night = Night(self.nights.rows(**how), len(self.runs), verdict=verdict)
        self.runs.append(await store(self.site.admin, self.site.tenants["acme"], night))
        return self.runs[-1]

    async def compared(self, run: UUID, **asked: Any) -> dict[str, Any]:
        """What the API says."""
        answer = await self.site.get(f"/api/v1/runs/{run}/comparison", **asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def nightly(database: str) -> AsyncIterator[Nightly]:
    async with serving(database) as site:
        found = Nightly(site, Nights(seed=5), [])
        for _ in range(13):
            await found.night()
        yield found


def changed(comparison: dict[str, Any]) -> set[tuple[str, str]]:
    """Endpoints with a verdict other than `same`."""
    return {(row["name"], row["verdict"]) for row in comparison["rows"] if row["verdict"] != "same"}


async def test_a_fifth_more_in_one_of_twenty_endpoints_is_found_and_nothing_else(
    nightly: Nightly,
) -> None:
    """Twenty unchanged repeats are all the same; then exactly the endpoint that got slower is named."""
    verdicts = {}
    for _ in range(REPEATS):
        found = await nightly.compared(await nightly.night())
        verdicts[found["run"]["execution_id"]] = (found["verdict"], frozenset(changed(found)))
        assert found["baseline"]["execution_id"] == str(nightly.runs[-2])
        assert len(found["rows"]) == 20 * 6 + 2 * 4 + 2
    assert set(verdicts.values()) == {("same", frozenset())}
    assert len(verdicts) == REPEATS

    found = await nightly.compared(await nightly.night(slower={7: 1.2}))
    assert found["verdict"] == "regressed"
    assert changed(found) == {(SLOWER, "regressed")}
    row = next(row for row in found["rows"] if row["quantity"] == "p50" and row["name"] == SLOWER)
    assert row["verdict"] == "regressed"
    assert row["run"] > row["high"] > row["baseline"] > row["low"]
    assert (found["runs"], row["changes"]) == (20, 18)


async def test_what_a_run_is_compared_with(nightly: Nightly) -> None:
    """The pinned run, else the latest that passed; or the one that is named, by id or by name."""
    failed = await nightly.night(verdict="failed")
    run = await nightly.night()
    latest = await nightly.compared(run)
    assert latest["baseline"]["execution_id"] == str(nightly.runs[-3])
    assert latest["baseline_name"] is None
    by_id = await nightly.compared(run, baseline=str(failed))
    assert by_id["baseline"]["execution_id"] == str(failed)

    pinned = await nightly.site.manage(
        "PUT", f"{PATH}/checkout/default", json={"execution_id": str(nightly.runs[2])}
    )
    assert pinned.status_code == 200, pinned.text
    default = await nightly.compared(run)
    assert default["baseline"]["execution_id"] == str(nightly.runs[2])
    assert default["baseline_name"] == "default"
    assert (await nightly.compared(run, baseline="latest"))["baseline_name"] is None
    # The pinned run itself is compared with the one before.
    assert (await nightly.compared(nightly.runs[2]))["baseline"]["execution_id"] == str(
        nightly.runs[1]
    )

    first = await nightly.compared(nightly.runs[0], baseline="latest")
    assert (first["verdict"], first["baseline"], first["rows"]) == ("not_enough_data", None, [])
    early = await nightly.compared(nightly.runs[6], baseline="latest")
    assert (early["verdict"], early["runs"]) == ("not_enough_data", 6)


async def test_what_can_not_be_compared(nightly: Nightly) -> None:
    """404 for what is not there or another's, 409 for a run that goes on, 422 for what makes no sense."""
    site, run = nightly.site, nightly.runs[-1]
    running, others = uuid4(), uuid4()
    await store_run(site, "acme", running, finished=False)
    await store_run(site, "other", others)

    async def status(execution: UUID, **asked: Any) -> int:
        answer = await site.get(f"/api/v1/runs/{execution}/comparison", **asked)
        return answer.status_code

    assert await status(uuid4()) == 404
    assert await status(others) == 404
    assert await status(run, baseline=str(others)) == 404
    assert await status(run, baseline="nobody") == 404
    assert await status(running) == 409
    assert await status(run, baseline=str(running)) == 409
    assert await status(run, runs=101) == 422


async def test_baselines_are_pinned_listed_and_removed(nightly: Nightly) -> None:
    """By an admin, for finished runs of the test; test names may hold anything."""
    site, test = nightly.site, "a/b c\n%2F"
    odd = await store(site.admin, site.tenants["acme"], Night(nightly.nights.rows(), 0, test=test))
    path = f"{PATH}/{quote(test, safe='')}/main"

    async def put(where: str, run: UUID, who: str = "acme") -> int:
        answer = await site.manage("PUT", where, who, json={"execution_id": str(run)})
        return answer.status_code

    assert await put(path, odd) == 200
    assert await put(path, odd) == 200
    assert await put(f"{PATH}/checkout/main", nightly.runs[3]) == 200
    assert await put(f"{PATH}/checkout/main", nightly.runs[4]) == 200
    assert (await site.get(path)).json()["execution_id"] == str(odd)

    listed = (await site.get(PATH, limit=1)).json()
    assert [one["test"] for one in listed["baselines"]] == [test]
    rest = (await site.get(PATH, limit=1, cursor=listed["next_cursor"])).json()
    assert [one["execution_id"] for one in rest["baselines"]] == [str(nightly.runs[4])]
    assert rest["next_cursor"] is None
    assert len((await site.get(PATH, test="checkout")).json()["baselines"]) == 1

    running = uuid4()
    await store_run(site, "acme", running, finished=False)
    assert await put(f"{PATH}/basic/main", running) == 409
    assert await put(f"{PATH}/checkout/main", odd) == 409
    assert await put(f"{PATH}/checkout/main", uuid4()) == 404
    assert await put(f"{PATH}/checkout/main", nightly.runs[0], "other") == 404
    for name in ("latest", str(uuid4()), "-x", "a b", "x" * 65):
        assert await put(f"{PATH}/checkout/{quote(name)}", nightly.runs[0]) == 422, name
    refused = await site.client.put(
        path, json={"execution_id": str(odd)}, headers={"X-API-Key": site.keys["acme"]}
    )
    assert refused.status_code == 403

    assert (await site.manage("DELETE", path, "other")).status_code == 404
    gone = await site.manage("DELETE", path)
    assert (gone.status_code, gone.json()["execution_id"]) == (200, str(odd))
    assert (await site.manage("DELETE", path)).status_code == 404
    assert (await site.get(path)).status_code == 404


async def test_baselines_have_a_limit(nightly: Nightly, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there may still move."""
    monkeypatch.setattr("query.baselines.MOST", 1)
    for name, run, status in (("a", 0, 200), ("b", 0, 409), ("a", 1, 200)):
        answer = await nightly.site.manage(
            "PUT", f"{PATH}/checkout/{name}", json={"execution_id": str(nightly.runs[run])}
        )
        assert answer.status_code == status, answer.text


async def test_too_many_rows_are_refused(nightly: Nightly, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process does not read more than it can hold; it says what to do."""
    monkeypatch.setattr("query.comparison.MOST_ROWS", 100)
    answer = await nightly.site.get(f"/api/v1/runs/{nightly.runs[-1]}/comparison")
    assert answer.status_code == 422
    assert "take fewer runs" in answer.text


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def _run(environment: dict[str, str], arguments: tuple[str, ...]) -> Done:
    out, err = StringIO(), StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", ["headrace", "k6", *arguments]),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


async def command(dsn: str, key: str, *arguments: str) -> Done:
    """A k6 command with a tenant's key, in a thread: a process each would take a minute."""
    environment = {
        "COLUMNS": "200",
        "HEADRACE_DATABASE": dsn,
        "HEADRACE_KAFKA": "unused:1",
        "HEADRACE_TEMPORAL": "unused:1",
        "HEADRACE_API_KEY": key,
    }
    return await asyncio.to_thread(_run, environment, arguments)


async def test_compare_and_baseline(
    nightly: Nightly, database: str, postgres: str, tmp_path: Path
) -> None:
    """Compare in its forms and with its exit codes, and baselines, one after the other."""
    site = nightly.site
    reader, admin = site.keys["acme"], site.admin_keys["acme"]
    both = await Tenants(site.admin).create_key("acme", ["read", "admin"])

    async def run(*arguments: str, key: str = reader) -> Done:
        return await command(database, key, *arguments)

    same = await run("compare", "latest", "--test", "checkout", "--json")
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["verdict"] == "same"

    slower = await nightly.night(slower={7: 1.2})
    junit = tmp_path / "comparison.xml"
    worse = await run("compare", str(slower), "--markdown", "--junit", str(junit))
    assert worse.returncode == 1, worse.stderr
    assert "🔴 regressed" in worse.stdout
    assert f"GET {SLOWER} 200" in worse.stdout
    assert junit.read_text(encoding="utf-8").count("<failure") == 1
    for arguments, code, words in (
        (("latest", "nobody"), 2, "is neither the id of a run"),
        (("latest", "--json", "--markdown"), 2, "not both"),
        ((str(nightly.runs[0]),), 3, ""),
    ):
        refused = await run("compare", *arguments)
        assert (refused.returncode, words in refused.stderr) == (code, True), arguments
    forbidden = await run(
        "compare", "latest", key=await Tenants(site.admin).create_key("acme", ["ingest"])
    )
    assert (forbidden.returncode, "lacks the scope" in forbidden.stderr) == (2, True)

    going = uuid4()
    await store_run(site, "acme", going, finished=False)
    waiting = asyncio.create_task(run("compare", str(going), "--wait", "30"))
    asked: set[Any] = set()
    # Beyond the look-ups of a command that does not wait, there is no event of another session.
    while len(asked) < _LOOKS and not waiting.done():
        asked.add(await site.admin.fetchval(_ASKED))
        await asyncio.sleep(0.05)
    await site.admin.execute("UPDATE runs SET state = 'finished' WHERE execution_id = $1", going)
    assert (await waiting).returncode == 3
    await site.admin.execute("UPDATE runs SET state = 'running' WHERE execution_id = $1", going)
    unfinished = await run("compare", str(going), "--wait", "0")
    assert (unfinished.returncode, "is running" in unfinished.stderr) == (2, True)

    pinned = await run("baseline", "set", str(nightly.runs[3]), "--name", "v1", key=both)
    assert pinned.returncode == 0, pinned.stderr
    refused = await run("baseline", "set", "latest", "--name", "latest", key=both)
    assert (refused.returncode, "--name latest" in refused.stderr) == (2, True)
    assert (await run("baseline", "set", "latest")).returncode == 2
    listed = json.loads((await run("baseline", "list", "--json")).stdout)["baselines"]
    assert [(one["name"], one["execution_id"]) for one in listed] == [("v1", str(nightly.runs[3]))]
    against = await run("compare", str(slower), "v1")
    assert (against.returncode, "baseline v1" in against.stdout) == (1, True)
    assert SLOWER in against.stdout
    assert (await run("baseline", "remove", "checkout", "v1", key=admin)).returncode == 0
    assert (await run("baseline", "remove", "checkout", "v1", key=admin)).returncode == 2

    with database_away(postgres, database):
        away = await run("compare", "latest")
    assert (away.returncode, "Traceback" not in away.stderr) == (4, True)


async def test_summary_and_report(nightly: Nightly, database: str, tmp_path: Path) -> None:
    """What a run came to, in a terminal, as JSON and as a page; intervals are merged from sketches."""
    site, slower = nightly.site, await nightly.night(slower={7: 1.2})

    async def run(*arguments: str) -> Done:
        return await command(database, site.keys["acme"], *arguments)

    await store_times(site.admin, slower, FIRST + timedelta(days=13), 2 * INTERVALS)
    await _hostile_details(site, slower)
    summed = await run("summary", str(slower))
    assert summed.returncode == 0, summed.stderr
    assert "✓ 'p(95)<500' p(95)=312.45ms" in summed.stdout
    assert "http_req_duration" in summed.stdout
    facts = json.loads((await run("summary", str(slower), "--json")).stdout)
    assert facts["metrics"]["http_reqs"]["rate"] * facts["seconds"] == pytest.approx(
        facts["metrics"]["http_reqs"]["count"]
    )

    file = tmp_path / "report.html"
    reported = await run("report", str(slower), "--html", str(file))
    assert reported.returncode == 0, reported.stderr
    page = file.read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "&lt;img src=x" in page
    # Intervals of three seconds, merged from sketches: 30 requests of 5 to 14 ms in each.
    charts = {
        one["key"]: one for one in json.loads(page.split('id="charts">')[1].split("</script>")[0])
    }
    assert len(charts["rate"]["x"]) == 2 * INTERVALS / 3
    assert set(charts["rate"]["traces"][0]["y"]) == {10.0}
    p50 = charts["durations"]["traces"][0]
    assert p50["name"] == "p50"
    assert p50["y"] == pytest.approx([9.5] * len(charts["durations"]["x"]), rel=0.01)
    assert [one["name"] for one in charts["statuses"]["traces"]] == ["200", "500"]
    unwritable = await run("report", str(slower), "--html", str(tmp_path / "no" / "where.html"))
    assert (unwritable.returncode, "can't be written" in unwritable.stderr) == (2, True)


async def _hostile_details(site: Site, run: UUID) -> None:
    """A check and an error whose names are markup."""
    name = HOSTILE
    await site.admin.execute("INSERT INTO run_checks VALUES ($1, '::g', $2, 5, 1)", run, name)
    await site.admin.execute(
        "INSERT INTO run_errors VALUES ($1, $2, 'GET', '500', '1500', $2, 3, $3, $3)",
        run,
        name,
        FIRST,
    )
