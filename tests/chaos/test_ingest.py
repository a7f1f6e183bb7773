"""Ingestion under fire: killed, paused, cut off; the count stays exact."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.bench.workload import Workload
from deploy.local.stack import Stack
from schemas.topics import Topics
from sinks.cardinality import limit_series
from sinks.database import connect_pool
from sinks.forget import Forgetting, drain
from sinks.migrate import migrate
from tests.brokers import private_broker
from tests.ingestion import ARRIVES_WITHIN, Bench, ingestion
from tests.processes import Headrace, headrace
from tests.relays import CopyRelay
from tests.servers import runtime

TOTAL = 1_500_000


async def test_three_kills_in_mid_drain_leave_count_and_ledger_exact(
    bench: Bench, tmp_path: Path
) -> None:
    """Whatever a killed process had in hand is read again, and what it stored is not."""
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    for kill in range(1, 4):
        with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
            await bench.stored_at_least(kill * TOTAL // 8)
            process.kill()
    assert (await bench.ledger())["stored"] < TOTAL
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.arrived(TOTAL)
    assert ledger["stored"] == TOTAL
    assert ledger["received"] == TOTAL + ledger["deduplicated"]
    assert await bench.rows() == TOTAL


@asynccontextmanager
async def _paused_in_mid_copy(bench: Bench, log: Path) -> AsyncIterator[Headrace]:
    """A writer, stopped where it hurts most: its COPY is open and its offset rows are locked."""
    async with CopyRelay.before(bench.dsn) as (relay, dsn):
        with headrace("ingest", env=bench.env(HEADRACE_DATABASE=dsn), log=log) as worker:
            await bench.stored_at_least(1)
            async with asyncio.timeout(ARRIVES_WITHIN):
                await relay.stall_in_copy()
                worker.send(signal.SIGSTOP)
                while not await bench.pool.fetchval(  # noqa: ASYNC110 # another process' session
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'headrace ingest' AND state = 'active'"
                    " AND query LIKE 'COPY %' AND wait_event = 'ClientRead')"
                ):
                    await asyncio.sleep(0.02)  # nothing tells when a session begins to wait
            yield worker


async def test_a_worker_paused_in_mid_copy_that_wakes_up_doubles_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    """A zombie still holds batches that its successor stored: the offsets tell it so."""
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    async with _paused_in_mid_copy(bench, tmp_path / "zombie") as zombie:
        before = (await bench.ledger())["stored"]
        assert before < TOTAL
        with headrace("ingest", env=bench.env(), log=tmp_path / "successor") as successor:
            # The group expels the sleeper, and its successor ends the transaction that it holds open.
            await bench.stored_at_least(min(before + TOTAL // 4, TOTAL))
            zombie.send(signal.SIGCONT)
            ledger = await bench.arrived(TOTAL)
            assert successor.process.poll() is None, successor.log.read_text()
    assert ledger["stored"] == TOTAL
    assert await bench.rows() == TOTAL


async def test_connections_that_break_in_mid_copy_cost_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    """The database ends every session of the writer again and again; each batch lands once."""
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
        for step in range(1, 9):
            await bench.stored_at_least(step * TOTAL // 10)
            await bench.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'headrace ingest'"
            )
        ledger = await bench.arrived(TOTAL)
        assert process.process.poll() is None
    assert ledger["stored"] == TOTAL
    assert await bench.rows() == TOTAL


async def _delete(bench: Bench, metric: str) -> int:
    """Delete a metric, and return how many samples of it had been stored."""
    async with await connect_pool(bench.dsn, role="headrace_owner", application="test") as pool:
        forgetting = Forgetting(pool)
        await forgetting.forget(await forgetting.find("test", metric))
        gone = await bench.pool.fetchval(
            "SELECT count(*) FROM samples JOIN forgotten_series USING (series_id)"
        )
        deleted = await drain(pool)
        assert deleted >= gone
        return int(gone)


async def _exact(bench: Bench, gone: int) -> None:
    """Every sample is stored or rejected, once; of what is stored only `gone` was deleted."""
    ledger = await bench.handled(TOTAL)
    assert ledger["stored"] + ledger["rejected"] == TOTAL
    assert ledger["received"] == TOTAL + ledger["deduplicated"]
    assert await bench.rows() == ledger["stored"] - gone
    rejected = await bench.pool.fetchval("SELECT sum(samples)::bigint FROM rejections")
    assert (rejected or 0) == ledger["rejected"]
    orphans = (
        "SELECT count(*) FROM samples LEFT JOIN series s USING (series_id) WHERE s.name IS NULL"
    )
    assert await bench.pool.fetchval(orphans) == 0
    counted = "SELECT t.series - (SELECT count(*) FROM series) FROM tenants t"
    assert await bench.pool.fetchval(counted) == 0


async def test_kills_amid_rejections_and_a_deletion_leave_everything_exact(
    bench: Bench, tmp_path: Path
) -> None:
    """A limit refuses three series in ten, a metric is deleted, and the process dies three times."""
    await limit_series(bench.pool, "test", 700)
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    gone = 0
    for kill in range(1, 4):
        with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
            await bench.stored_at_least(kill * TOTAL // 10)
            if kill == 2:
                gone = await _delete(bench, "cpu_usage")
            process.kill()
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await _exact(bench, gone)
    assert gone > 0
    assert (await bench.ledger())["rejected"] > 0


async def test_a_deletion_while_a_writer_sleeps_in_mid_copy_waits_for_its_end(
    bench: Bench, tmp_path: Path
) -> None:
    """The sleeper's rows are under the old numbers: its successor ends it, then the metric goes."""
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    async with _paused_in_mid_copy(bench, tmp_path / "zombie") as zombie:
        with headrace("ingest", env=bench.env(), log=tmp_path / "successor") as successor:
            gone = await _delete(bench, "cpu_usage")
            zombie.send(signal.SIGCONT)
            await _exact(bench, gone)
            assert successor.process.poll() is None, successor.log.read_text()
    assert gone > 0


async def test_deletions_and_breaking_connections_at_once_cost_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    """Two metrics go while the database ends every session of the writer again and again."""
    await limit_series(bench.pool, "test", 900)
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    gone = 0
    with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
        for step in range(1, 7):
            await bench.stored_at_least(step * TOTAL // 10)
            if step in {2, 4}:
                gone += await _delete(bench, "http_reqs")
            await bench.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'headrace ingest'"
            )
        await _exact(bench, gone)
        assert process.process.poll() is None
    assert gone > 0


async def test_a_stop_is_prompt_while_broker_and_database_are_away(tmp_path: Path) -> None:
    """SIGTERM in an outage: the work in hand is read again by the next process, so nobody waits."""
    async with private_broker(tmp_path / "broker") as broker, AsyncExitStack() as stack:
        server = stack.enter_context(
            Stack(
                tmp_path / "home",
                "auto",
                runtime=runtime(),
                services_only=True,
                kafka=broker.bootstrap,
                temporal="unused:0",
            )
        )
        dsn = server.endpoints.database
        migrate(dsn)
        bench = await stack.enter_async_context(ingestion(broker.bootstrap, dsn, Topics("stop.")))
        load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
        await bench.produce(load.values())
        with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
            await bench.stored_at_least(1)
            await asyncio.to_thread(server.hold, "postgres")
            broker.freeze()
            assert await process.stop(within=10.0) == 0
        broker.thaw()
        await asyncio.to_thread(server.release, "postgres")
        with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
            assert (await bench.arrived(TOTAL))["stored"] == TOTAL
        assert await bench.rows() == TOTAL
