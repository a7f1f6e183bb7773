"""The database goes away in mid-run: k6 does not notice, and the run ends exact."""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from uuid import uuid4

import asyncpg

from deploy.local.stack import Stack
from producers.k6.run import RunConfig, run_k6
from schemas.topics import Topics
from tests.k6_runs import serving_site
from tests.servers import runtime

RATE, SECONDS, OUTAGE = 25, 32, 20
FINISHED_WITHIN = 90
_STORED = "SELECT coalesce(sum(stored), 0) FROM run_ledger"

SCRIPT = """
import http from 'k6/http';
export const options = { scenarios: { steady: {
  executor: 'constant-arrival-rate', rate: %d, timeUnit: '1s', duration: '%ds', preAllocatedVUs: 20,
} } };
export default function () { http.get(__ENV.URL); }
"""


async def test_twenty_seconds_without_database_cost_nothing_and_slow_nobody(tmp_path: Path) -> None:
    """Every point is stored once, k6 starts every iteration on time, the workflow ends by itself."""
    (tmp_path / "steady.js").write_text(SCRIPT % (RATE, SECONDS))
    truth = tmp_path / "truth.json"
    with Stack(tmp_path / "home", "auto", runtime=runtime()) as stack, serving_site() as url:
        at = stack.endpoints
        pool = await asyncpg.create_pool(at.database, min_size=0, max_size=2)
        tenant = await pool.fetchval("INSERT INTO tenants (name) VALUES ('t') RETURNING tenant_id")
        run = asyncio.create_task(
            run_k6(
                RunConfig(
                    bootstrap=at.kafka,
                    topics=Topics(),
                    tenant_id=tenant,
                    arguments=[
                        "--quiet",
                        "-e",
                        f"URL={url}",
                        "--out",
                        f"json={truth}",
                        str(tmp_path / "steady.js"),
                    ],
                    environment=dict(os.environ),
                    spool=tmp_path / "spool",
                    execution_id=uuid4(),
                ),
                say=lambda _: None,
            )
        )
        await _stored(pool, 1)
        await asyncio.to_thread(stack.hold, "postgres")
        await asyncio.sleep(OUTAGE)
        await asyncio.to_thread(stack.release, "postgres")
        result = await run
        row = await _finished(pool, result.execution_id)
        ledger = await pool.fetchrow(
            "SELECT sum(stored)::int AS stored, sum(dead_lettered)::int AS dead FROM run_ledger"
        )
        requests = await pool.fetchval(
            "SELECT n FROM k6_aggregates WHERE kind = 'summary' AND metric = 'http_reqs'"
        )
        raw_left = await pool.fetchval("SELECT count(*) FROM k6_samples")
        await pool.close()
    written = Counter(
        json.loads(line)["metric"]
        for line in truth.read_text().splitlines()
        if '"type":"Point"' in line
    )
    assert (row["state"], row["verdict"]) == ("finished", "passed")
    assert dict(ledger) == {"stored": written.total(), "dead": 0}
    assert requests == written["http_reqs"]
    assert raw_left == 0
    assert written["iterations"] >= RATE * SECONDS
    assert written["dropped_iterations"] == 0


async def _stored(pool: "asyncpg.Pool[asyncpg.Record]", points: int) -> None:
    async with asyncio.timeout(FINISHED_WITHIN):
        while await pool.fetchval(_STORED) < points:  # noqa: ASYNC110 # another process stores them
            await asyncio.sleep(0.1)


async def _finished(pool: "asyncpg.Pool[asyncpg.Record]", execution: object) -> "asyncpg.Record":
    async with asyncio.timeout(FINISHED_WITHIN):
        while True:
            row = await pool.fetchrow(
                "SELECT state, verdict FROM runs WHERE execution_id = $1", execution
            )
            if row is not None and row["state"] == "finished":
                return row
            await asyncio.sleep(0.2)
