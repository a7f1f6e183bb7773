"""Forwarding under fire: whatever happens, the watched topic holds what the tables hold, once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.bench.workload import Workload
from schemas.topics import Topics
from sinks.migrate import migrate
from sinks.scratch import scratch_database
from tests.brokers import private_broker
from tests.ingestion import Bench, ingestion
from tests.outages import database_away
from tests.processes import Headrace, headrace
from tests.watched import check_exact

TOTAL = 400_000
METRICS = ("http_reqs", "cpu_usage")
_RUN = UUID("00000000-0000-0000-0000-0000000000aa")


def load(bench: Bench) -> Iterator[bytes]:
    """Records of samples, and in between some of points of a run."""
    made = Workload("json100", TOTAL, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    for index, value in enumerate(made.values()):
        if index % 8 == 7:
            yield msgspec.json.encode(msgspec.json.decode(value) | {"execution_id": str(_RUN)})
        else:
            yield value


def ingest(bench: Bench, log: Path, *commits: str) -> AbstractContextManager[Headrace]:
    """An ingest process whose rules watch METRICS, of the second with percentiles."""
    return headrace(
        "http_reqs,p-cpu_usage",
        *commits,
        env=bench.env(),
        log=log,
        module="tests.chaos.dying_ingest",
    )


async def test_deaths_between_commit_and_publishing_lose_and_double_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    """What a dead process posted is published by its successor, before what it posts itself."""
    await bench.produce(load(bench))
    for commits in ("1", "2", "3"):
        with ingest(bench, tmp_path / "log", commits) as process:
            assert await asyncio.to_thread(process.process.wait, 60) == -signal.SIGKILL
        assert await bench.pool.fetchval("SELECT count(*) FROM watched_outbox") > 0
    with ingest(bench, tmp_path / "log"):
        await bench.arrived(TOTAL)
        records = await check_exact(bench, METRICS)
    kept = {
        one.name for record in records for one in record.described() if record.rows.classes_of.any()
    }
    assert kept <= {"cpu_usage"}
    assert all(
        (one.rows.exact_of == one.rows.n).all()
        for one in records
        if {series.name for series in one.described()} == {"cpu_usage"}
    )


async def test_a_sleeper_that_wakes_up_publishes_what_is_known(
    bench: Bench, tmp_path: Path
) -> None:
    """Two publish the same rows; the reader tells by their place."""
    await bench.produce(load(bench))
    with ingest(bench, tmp_path / "zombie") as zombie:
        await bench.stored_at_least(1)
        zombie.send(signal.SIGSTOP)
        before = (await bench.ledger())["stored"]
        with ingest(bench, tmp_path / "successor") as successor:
            await bench.stored_at_least(min(before + TOTAL // 4, TOTAL))
            zombie.send(signal.SIGCONT)
            await bench.arrived(TOTAL)
            assert successor.process.poll() is None, successor.log.read_text()
            await check_exact(bench, METRICS)


async def test_partitions_that_move_take_their_order_with_them(
    bench: Bench, tmp_path: Path
) -> None:
    """A second worker takes over half, then all."""
    records = list(load(bench))
    half = len(records) // 2
    await bench.produce(records[:half])
    with ingest(bench, tmp_path / "second") as second, ingest(bench, tmp_path / "first") as first:
        await bench.stored_at_least(TOTAL // 4)
        await asyncio.gather(first.ready(), second.ready())
        await bench.produce(records[half:])
        await bench.stored_at_least(TOTAL * 5 // 8)
        assert await first.stop() == 0
        await bench.arrived(TOTAL)
        await check_exact(bench, METRICS)


async def test_a_database_that_is_away_for_a_while(
    bench: Bench, postgres: str, tmp_path: Path
) -> None:
    """Neither a batch nor what it posts gets lost or doubled."""
    await bench.produce(load(bench))
    with ingest(bench, tmp_path / "log") as process:
        for step in (1, 2, 3):
            await bench.stored_at_least(step * TOTAL // 5)
            with database_away(postgres, bench.dsn):
                await asyncio.sleep(0.3)  # so that something is tried
        await bench.arrived(TOTAL)
        assert process.process.poll() is None
        await check_exact(bench, METRICS)


async def test_a_topic_that_takes_nothing_holds_nothing_up(bench: Bench, tmp_path: Path) -> None:
    """Everything is stored while the broker refuses the watched topic; then the outbox empties."""
    await _largest_record(bench, 100)
    await bench.produce(load(bench))
    with ingest(bench, tmp_path / "log"):
        await bench.arrived(TOTAL)
        assert await bench.pool.fetchval("SELECT count(*) FROM watched_outbox") > 0
        await _largest_record(bench, 4 << 20)
        await check_exact(bench, METRICS)


async def _largest_record(bench: Bench, size: int) -> None:
    """That the watched topic takes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.kafka)
    await admin.start()
    try:
        await admin.alter_configs(
            [
                ConfigResource(
                    ConfigResourceType.TOPIC,
                    bench.topics.watched,
                    {"max.message.bytes": str(size)},
                )
            ]
        )
    finally:
        await admin.close()


async def test_a_broker_that_crashes_and_comes_back(postgres: str, tmp_path: Path) -> None:
    """In mid-drain: what it had acknowledged it has, the rest is sent again."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(private_broker(tmp_path / "broker"))
        dsn = stack.enter_context(scratch_database(postgres))
        migrate(dsn)
        bench = await stack.enter_async_context(ingestion(broker.bootstrap, dsn, Topics("away.")))
        await bench.produce(load(bench))
        with ingest(bench, tmp_path / "log"):
            await bench.stored_at_least(TOTAL // 8)
            broker.kill()
            await broker.start()
            await bench.arrived(TOTAL)
            await check_exact(bench, METRICS)
