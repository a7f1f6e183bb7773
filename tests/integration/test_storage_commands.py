"""`headrace storage` and the maintenance of a worker, on real servers as a user runs them."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from temporalio.testing import WorkflowEnvironment

from deploy.cli import upkeep
from schemas.settings import Settings
from tests.ingestion import Bench
from tests.lifecycle import DAY, HOUR, MINUTE, stored
from tests.outages import database_away
from tests.processes import headrace
from workflows.maintenance.schedule import put_right

pytestmark = pytest.mark.timeout(180)


def run(dsn: str, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """A command, on a wide terminal."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={
            **os.environ,
            "COLUMNS": "200",
            "HEADRACE_DATABASE": dsn,
            "HEADRACE_KAFKA": "unused:1",
            "HEADRACE_TEMPORAL": "unused:1",
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def answer(dsn: str, *arguments: str, **settings: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    done = run(dsn, *arguments, "--json", **settings)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
async def sampled(database: str) -> str:
    """A database with a sample an hour of the last twelve days, not refreshed."""
    async with stored(database) as store:
        series = await store.series("gauge")
        now = datetime.now(UTC)
        await store.store([(now - n * HOUR - 2 * MINUTE, series, 1.0) for n in range(12 * 24)])
    return database


def test_refresh_status_retain_compact_in_turn(sampled: str) -> None:
    """What one command does, the next one shows."""
    before = answer(sampled, "storage", "status")
    assert before["mode"] == "postgresql"
    assert before["marks"] == {"raw": 288}
    refreshed = answer(sampled, "storage", "refresh")
    assert (refreshed["marks"] >= 288, refreshed["changed"] >= 288) == (True, True)
    levels = {level["level"]: level for level in answer(sampled, "storage", "status")["levels"]}
    assert 60 <= levels["1m"]["lag"] < 600

    week = {"HEADRACE_RAW_RETENTION": "P7D"}
    announced = answer(sampled, "storage", "retain", "--dry-run", **week)["removals"]
    assert {removal["action"] for removal in announced} == {"drop"}
    assert answer(sampled, "storage", "retain", **week)["removals"] == announced
    assert answer(sampled, "storage", "retain", "--dry-run", **week)["removals"] == []

    soon = {"HEADRACE_COMPRESS_RAW_AFTER": "P1D"}
    assert len(answer(sampled, "storage", "compact", **soon)["compacted"]) >= 5
    assert answer(sampled, "storage", "compact", **soon) == {"compacted": []}
    # Computed anew where samples are left, and nowhere else.
    again = answer(sampled, "storage", "refresh", "--from", "2020-01-01")
    assert again["changed"] == 0


def test_people_read_tables(sampled: str) -> None:
    """Without --json: what is where, how far it is, and what goes next."""
    told = run(sampled, "storage", "status")
    assert told.returncode == 0, told.stderr
    for words in ("storage: postgresql", "marks waiting: 288 raw", "goes next", "stored up to"):
        assert words in told.stdout
    refreshed = run(sampled, "storage", "refresh")
    assert "1m: " in refreshed.stderr
    assert "rows changed" in refreshed.stdout
    dry = run(sampled, "storage", "retain", "--dry-run", HEADRACE_RAW_RETENTION="P7D")
    assert "raw is kept 7 days" in dry.stdout
    assert (
        "Everything old enough"
        in run(sampled, "storage", "compact", HEADRACE_COMPRESS_RAW_AFTER="P90D").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "yesterday"], "write it as"),
        (["--from", "2026-02-01", "--to", "2026-01-01"], "--from must be before --to"),
    ],
)
def test_wrong_times_are_refused(database: str, arguments: list[str], words: str) -> None:
    """Exit code 2, and how to write it."""
    done = run(database, "storage", "refresh", *arguments)
    assert (done.returncode, words in done.stderr) == (2, True)


def test_a_database_that_is_away_is_told(database: str, postgres: str) -> None:
    """Exit code 1 and one line."""
    with database_away(postgres, database):
        done = run(database, "storage", "status")
    assert done.returncode == 1
    assert "can't be used" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_worker_refreshes_and_a_killed_ones_work_is_taken_over(
    bench: Bench, tmp_path: Path
) -> None:
    """Two workers keep the rollups fresh; killed -9, the next one goes on; each sample counts once."""
    settings = {"HEADRACE_MAINTENANCE_INTERVAL": "PT1S"}
    binary = str(Path(sys.executable).with_name("temporal"))
    async with (
        stored(bench.dsn) as store,
        await WorkflowEnvironment.start_local(dev_server_existing_path=binary) as temporal,
    ):
        series = await store.series("gauge")
        address = temporal.client.service_client.config.target_host
        env = bench.env(HEADRACE_TEMPORAL=address, **settings)
        with (
            headrace("worker", env=env, log=tmp_path / "one") as one,
            headrace("worker", env=env, log=tmp_path / "two") as two,
        ):
            for process in (one, two):
                await process.ready()
            now = datetime.now(UTC)
            await store.store([(now - DAY + n * MINUTE, series, 1.0) for n in range(600)])
            await _stored_hours(store.pool, 600)
            one.kill()
            await store.store([(now - DAY + n * MINUTE, series, 2.0) for n in range(600)])
            await _stored_hours(store.pool, 1200)
            two.kill()
        await store.store([(now - DAY + n * MINUTE, series, 3.0) for n in range(600)])
        with headrace("worker", env=env, log=tmp_path / "three") as three:
            await three.ready()
            await _stored_hours(store.pool, 1800)
            assert await three.stop() == 0
        parts = await store.pool.fetch("SELECT part, error FROM maintenance")
        assert {row["part"] for row in parts} >= {"refresh", "forget", "ensure", "retain"}
        assert {row["error"] for row in parts} == {None}


async def _stored_hours(pool: "asyncpg.Pool[asyncpg.Record]", wanted: int) -> None:
    """Wait until the hourly rollup, as it is stored, holds so many samples."""
    async with asyncio.timeout(60):
        while await pool.fetchval("SELECT sum(n) FROM rollup_1h") != wanted:  # noqa: ASYNC110 # another process
            await asyncio.sleep(0.1)


async def test_status_tells_how_maintenance_stands() -> None:
    """The schedules once a worker has made them; before, and without Temporal, why there is nothing."""
    settings = Settings(topic_prefix="status.")
    binary = str(Path(sys.executable).with_name("temporal"))
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=binary) as temporal:
        address = temporal.client.service_client.config.target_host
        assert await asyncio.to_thread(upkeep.read, settings, address) == []
        await put_right(temporal.client, "status.headrace", settings.maintenance_interval)
        found = await asyncio.to_thread(upkeep.read, settings, address)
        assert not isinstance(found, str)
        assert [one.name for one in found] == ["maintenance", "maintenance-hourly"]
        assert all(one.next_run is not None for one in found)
    away = await asyncio.to_thread(upkeep.read, settings, "127.0.0.1:1")
    assert "Temporal at 127.0.0.1:1 does not tell" in str(away)
    assert upkeep.facts(away) == {"error": away}
