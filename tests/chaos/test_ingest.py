"""Ingestion under fire: killed, paused, cut off; the count stays exact."""

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.bench.workload import Workload
from tests.ingestion import Bench
from tests.processes import headrace

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


async def test_a_paused_worker_that_wakes_up_doubles_nothing(bench: Bench, tmp_path: Path) -> None:
    """A zombie still holds batches that its successor stored: the offsets tell it so."""
    load = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values())
    with headrace("ingest", env=bench.env(), log=tmp_path / "zombie") as zombie:
        await bench.stored_at_least(TOTAL // 8)
        zombie.send(signal.SIGSTOP)
        before = (await bench.ledger())["stored"]
        with headrace("ingest", env=bench.env(), log=tmp_path / "successor"):
            # The group expels the sleeper, and the database its open transaction.
            await bench.stored_at_least(before + TOTAL // 4)
            zombie.send(signal.SIGCONT)
            ledger = await bench.arrived(TOTAL)
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
