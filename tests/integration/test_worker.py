"""The worker process on real servers: from run events in Kafka to finished runs in the database."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from temporalio.testing import WorkflowEnvironment

from tests.ingestion import Bench
from tests.kafka_log import records_of
from tests.outages import database_away
from tests.processes import Headrace, free_port, headrace
from tests.stored_runs import GROUP, POINTS, let_ingest_pass, rows_of, store_run

pytestmark = pytest.mark.timeout(120)


async def publish(bench: Bench, events: Iterable[bytes | None]) -> None:
    """Write run events in order."""
    async with AIOKafkaProducer(bootstrap_servers=bench.kafka) as producer:
        for event in events:
            await producer.send_and_wait(bench.topics.run_events, event, b"run")


async def reached(bench: Bench, execution: UUID, state: str) -> None:
    """Wait until a run is in a state."""
    query = "SELECT state FROM runs WHERE execution_id = $1"
    async with asyncio.timeout(60):
        while await bench.pool.fetchval(query, execution) != state:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)


async def get(worker: Headrace, path: str) -> tuple[int, str]:
    """Status and text of one of the process's own pages."""
    url = f"http://127.0.0.1:{worker.port}/{path}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.text()


async def listening(worker: Headrace) -> None:
    """Wait until the process answers HTTP at all."""
    async with asyncio.timeout(30):
        while True:
            try:
                await get(worker, "healthz")
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_finished_run_is_worked_off_once(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """Events, some twice, become one aggregated, judged and cleaned-up run; the process stops in time."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    late = await store_run(bench.pool, bench.tenant, bench.topics.samples, passed=False)
    await let_ingest_pass(bench.pool, bench.topics.samples, 3, 41)
    with headrace(
        "worker",
        env=bench.env(HEADRACE_TEMPORAL=temporal, HEADRACE_CONSUMER_GROUP=GROUP),
        log=tmp_path / "log",
    ) as worker:
        await worker.ready()
        await publish(bench, [*run.events, run.events[1], *late.events, run.events[0]])
        await reached(bench, late.execution, "aggregating")
        # One partition lacks one record: nothing may be aggregated before it.
        assert (await rows_of(bench.pool, run.execution))["raw"] == POINTS
        await let_ingest_pass(bench.pool, bench.topics.samples, 3, 42)
        await reached(bench, run.execution, "finished")
        await reached(bench, late.execution, "finished")
        metrics = (await get(worker, "metrics"))[1]
        assert 'headrace_run_events_total{event="finished"} 3.0' in metrics
        assert await worker.stop() == 0

    rows = await rows_of(bench.pool, run.execution)
    assert (rows["verdict"], rows["raw"], rows["deleted"]) == ("passed", 0, True)
    summaries = {r["metric"]: r for r in rows["aggregates"] if r["kind"] == "summary"}
    assert summaries["http_reqs"]["sum"] == 600
    assert (summaries["http_req_duration"]["n"], summaries["http_req_duration"]["p50"]) == (
        600,
        150.5,
    )
    observed = {t["metric"]: (t["observed"], t["passed"]) for t in json.loads(rows["thresholds"])}
    assert observed == {
        "http_req_duration{name:list}": (pytest.approx(285.05), True),
        "http_reqs": (pytest.approx(150.0), True),
    }
    assert (await rows_of(bench.pool, late.execution))["verdict"] == "failed"


async def test_a_run_that_nobody_finishes_is_closed_and_opened_again(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """A silent runner leaves the run incomplete and failed, its points kept; its late finish mends all that."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    started = run.started.model_copy(update={"runners_expected": 2})
    there = run.finished.model_copy(update={"runner": "there", "sent": []})
    settings = {
        "HEADRACE_TEMPORAL": temporal,
        "HEADRACE_CONSUMER_GROUP": GROUP,
        "HEADRACE_RUN_GRACE": "PT2S",
        "HEADRACE_MAINTENANCE_INTERVAL": "PT1S",
    }
    query = "SELECT incomplete, verdict, raw_deleted_at IS NULL AS kept FROM runs WHERE execution_id = $1"
    with headrace("worker", env=bench.env(**settings), log=tmp_path / "log") as worker:
        await worker.ready()
        await publish(bench, [e.model_dump_json().encode() for e in (started, run.finished)])
        await reached(bench, run.execution, "finished")
        assert tuple(await bench.pool.fetchrow(query, run.execution)) == (
            "1 of 2 runners finished; 1 never started", "failed", True,
        )  # fmt: skip
        await publish(bench, [there.model_dump_json().encode()])
        async with asyncio.timeout(60):
            while (await bench.pool.fetchrow(query, run.execution))["kept"]:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        await reached(bench, run.execution, "finished")
    assert tuple(await bench.pool.fetchrow(query, run.execution)) == (None, "passed", False)


async def test_bad_events_are_buried_and_the_next_is_handled(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """What can't be an event goes to the dead letters with its position and reason, and holds up nothing."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    nobodys = run.started.model_copy(update={"tenant_id": uuid4(), "execution_id": uuid4()})
    stolen = run.started.model_copy(update={"tenant_id": await _other_tenant(bench)})
    nul = run.started.model_copy(update={"execution_id": uuid4(), "test": "a\0b"})
    bad = [
        b"{",
        None,
        b'{"event":"finished"}',
        b"\xff" * 3_000_000,
        *(event.model_dump_json().encode() for event in (nobodys, nul)),
    ]
    with headrace(
        "worker",
        env=bench.env(HEADRACE_TEMPORAL=temporal, HEADRACE_CONSUMER_GROUP=GROUP),
        log=tmp_path / "log",
    ) as worker:
        async with AIOKafkaProducer(
            bootstrap_servers=bench.kafka, max_request_size=4_000_000
        ) as producer:
            for event in [*bad, run.events[0], stolen.model_dump_json().encode(), run.events[1]]:
                await producer.send_and_wait(bench.topics.run_events, event, b"run")
        await reached(bench, run.execution, "finished")
        assert await worker.stop() == 0

    buried = await records_of(bench.kafka, bench.topics.dead_letters)
    reasons = [dict(record.headers)["reason"].decode() for record in buried]
    assert reasons == [
        *["bad_run_event"] * 4, "unknown_tenant", "refused_by_database", "wrong_tenant",
    ]  # fmt: skip
    offsets = [*range(6), 7]
    assert [r.key.decode() for r in buried] == [f"{bench.topics.run_events}/0/{o}" for o in offsets]
    assert [r.value for r in buried[:3]] == bad[:3]
    assert dict(buried[3].headers)["truncated-from-bytes"] == b"3000000"


async def test_a_worker_waits_for_what_is_away(bench: Bench, postgres: str, tmp_path: Path) -> None:
    """It lives, is not ready and loses nothing while database and Temporal are away; then it goes on."""
    run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
    await publish(bench, run.events)
    port = free_port()
    env = bench.env(HEADRACE_TEMPORAL=f"127.0.0.1:{port}", HEADRACE_CONSUMER_GROUP=GROUP)
    with headrace("worker", env=env, log=tmp_path / "log") as worker:
        with database_away(postgres, bench.dsn):
            await listening(worker)
            status, text = await get(worker, "readyz")
            assert (status, json.loads(text)["checks"]) == (
                503,
                {"database": False, "temporal": False, "kafka": False},
            )
        async with await WorkflowEnvironment.start_local(
            port=port, dev_server_existing_path=str(Path(sys.executable).with_name("temporal"))
        ):
            await worker.ready()
            await reached(bench, run.execution, "finished")
            with database_away(postgres, bench.dsn):
                assert (await get(worker, "readyz"))[0] == 503
                assert (await get(worker, "healthz"))[0] == 200
                again = run.events[0]
                await publish(bench, [again])
            await worker.ready()
            other = await store_run(bench.pool, bench.tenant, bench.topics.samples)
            await publish(bench, other.events)
            await reached(bench, other.execution, "finished")
        # Temporal is away again, this time under a running worker.
        assert await worker.stop() == 0


async def test_a_worker_stops_though_temporal_hangs(bench: Bench, tmp_path: Path) -> None:
    """The SDK alone would take 45 s, longer than supervisors wait before they kill."""
    port = free_port()
    env = bench.env(HEADRACE_TEMPORAL=f"127.0.0.1:{port}", HEADRACE_CONSUMER_GROUP=GROUP)
    binary = Path(sys.executable).with_name("temporal")
    argv = [str(binary), "server", "start-dev", "--headless", "--port", str(port)]
    with headrace("worker", env=env, log=tmp_path / "log") as worker:
        server = await asyncio.create_subprocess_exec(*argv, stdout=DEVNULL, stderr=DEVNULL)
        try:
            await worker.ready()
            server.send_signal(signal.SIGSTOP)
            assert await worker.stop(within=30.0) == 0  # Kubernetes waits as long
        finally:
            server.kill()
            await server.wait()
    assert "Left before Temporal heard" in worker.log.read_text()


async def test_a_worker_that_waits_stops_as_well(bench: Bench, tmp_path: Path) -> None:
    """SIGTERM ends a process that has never reached anything."""
    env = bench.env(
        HEADRACE_TEMPORAL="127.0.0.1:1",
        HEADRACE_KAFKA="127.0.0.1:1",
        HEADRACE_DATABASE="postgresql://nobody@127.0.0.1:1/none",
    )
    with headrace("worker", env=env, log=tmp_path / "log") as worker:
        await listening(worker)
        assert await worker.stop() == 0


async def _other_tenant(bench: Bench) -> UUID:
    found: UUID = await bench.pool.fetchval(
        "INSERT INTO tenants (name) VALUES ('other') RETURNING tenant_id"
    )
    return found
