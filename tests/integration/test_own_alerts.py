"""headrace's own alerts, beside real processes and a real database."""

import asyncio
import re
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import deploy
from schemas.named_queries import load
from sinks.standing import Standing, StandingStore
from tests.ingestion import Bench
from tests.processes import Headrace, headrace
from workflows.metrics import Metrics
from workflows.standing import show_standing

DEPLOY = Path(deploy.__file__).parent
PROCESSES = ("gateway", "api", "ingest", "alerts", "worker")


async def test_every_metric_of_the_rules_is_one_that_a_process_shows(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """A renamed metric would leave an alert that never fires."""
    env = bench.env(HEADRACE_TEMPORAL=temporal)
    with ExitStack() as stack:
        started = [
            stack.enter_context(headrace(name, env=env, log=tmp_path / name)) for name in PROCESSES
        ]
        await asyncio.gather(*(process.ready() for process in started))
        texts = await asyncio.gather(*map(_metrics, started))
    shown = {"up"}
    for text in texts:
        for family in text_string_to_metric_families(text):
            # A counter with labels and no child yet shows its name and no sample.
            shown |= {family.name, f"{family.name}_total", *(s.name for s in family.samples)}
    rules = yaml.safe_load((DEPLOY / "prometheus" / "headrace.rules.yml").read_text())
    asked = {
        name
        for rule in rules["groups"][0]["rules"]
        for name in re.findall(r"\b(?:up\b|(?:headrace|http)_\w+)", rule["expr"])
    }
    assert asked - shown == set()
    assert len(asked) > 10


async def _metrics(process: Headrace) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{process.port}/metrics") as answer,
    ):
        return await answer.text()


async def test_every_statement_of_the_runbooks_can_be_run(bench: Bench) -> None:
    """At three in the morning nobody wants to find out which column was renamed."""
    statements = [
        statement
        for runbook in sorted((DEPLOY / "runbooks").glob("*.md"))
        for statement in re.findall(
            r"^```sql\n(.*?)^```$", runbook.read_text(), re.MULTILINE | re.DOTALL
        )
    ]
    assert statements
    for statement in statements:
        await bench.pool.fetch(statement)


async def test_every_named_query_is_valid_sql(bench: Bench) -> None:
    """Each can be prepared by the role that runs it."""
    for role, file in (("headrace_writer", "watched.sql"), ("headrace_owner", "standing.sql")):
        async with bench.pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ROLE {role}")
            for query in load("sinks.sql", file).values():
                await connection.prepare(query)


async def test_what_stands_still_is_seen(bench: Bench) -> None:
    """A run that waits for its aggregates, and maintenance whose last end was good."""
    store = StandingStore(bench.pool)
    assert await store.read() == Standing(0.0, {})
    await bench.pool.execute(
        "INSERT INTO runs (execution_id, tenant_id, test, state, started_at, heard_at) VALUES"
        " (gen_random_uuid(), $1, 'a', 'aggregating', now(), now() - interval '1 hour'),"
        " (gen_random_uuid(), $1, 'a', 'running', now(), now() - interval '2 hours')",
        bench.tenant,
    )
    await bench.pool.execute(
        "INSERT INTO maintenance (part, began_at, ended_at, error) VALUES"
        " ('refresh', now(), 'epoch'::timestamptz + interval '7 s', NULL), ('retain', now(), now(), 'disk'),"
        " ('compact', now(), NULL, NULL)"
    )
    registry = CollectorRegistry()
    shown = asyncio.create_task(show_standing(store.read, Metrics(registry)))
    async with asyncio.timeout(10):
        while not registry.get_sample_value("headrace_post_test_oldest_seconds"):  # noqa: ASYNC110 - a gauge has no event
            await asyncio.sleep(0.01)
    shown.cancel()
    assert 3600 <= (registry.get_sample_value("headrace_post_test_oldest_seconds") or 0) < 3700
    ended = "headrace_maintenance_good_timestamp_seconds"
    assert registry.get_sample_value(ended, {"part": "refresh"}) == 7
    assert registry.get_sample_value(ended, {"part": "retain"}) is None
