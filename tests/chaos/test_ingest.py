"""Ingestion under fire: killed, paused, cut off; the count stays exact."""

import asyncio
import signal
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.bench.workload import Workload
from deploy.local.stack import Stack
from schemas.topics import Topics
from sinks.migrate import migrate
from tests.brokers import private_broker
from tests.ingestion import Bench, ingestion
from tests.processes import Headrace, headrace
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


async def _pause_in_mid_copy(bench: Bench, worker: Headrace) -> None:
    """Stop a writer where it hurts most: its COPY is open and its offset rows are locked."""
    while True:
        worker.send(signal.SIGSTOP)
        # What was on its way arrives, and the session then waits for the rest.
        await asyncio.sleep(0.1)
        if await bench.pool.fetchval(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'headrace ingest' AND state = 'active'"
            " AND query LIKE 'COPY %' AND wait_event = 'ClientRead')"
        ):
            return
        worker.send(signal.SIGCONT)
        await asyncio.sleep(0.02)


async def test_a_worker_paused_in_mid_copy_that_wakes_up_doubles_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    """A zombie still holds batches that its successor stored: the offsets tell it so."""
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    with headrace("ingest", env=bench.env(), log=tmp_path / "zombie") as zombie:
        await bench.stored_at_least(TOTAL // 8)
        await _pause_in_mid_copy(bench, zombie)
        before = (await bench.ledger())["stored"]
        with headrace("ingest", env=bench.env(), log=tmp_path / "successor") as successor:
            # The group expels the sleeper, and its successor ends the transaction that it holds open.
            await bench.stored_at_least(before + TOTAL // 4)
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
