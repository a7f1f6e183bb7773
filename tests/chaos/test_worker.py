"""A worker that dies between any two steps of a run leaves nothing behind that its successor minds."""

import asyncio
import contextlib
import signal
import sys
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.worker import Worker

from sinks.database import connect_pool
from sinks.runs import RunStore
from tests.ingestion import Bench
from tests.stored_runs import GROUP, rows_of, store_run
from workflows.metrics import Metrics
from workflows.post_test.activities import PostTestActivities
from workflows.post_test.start import PostTestStarter, workflow_id
from workflows.post_test.types import Outcome
from workflows.post_test.workflow import PostTestWorkflow

STEPS = ("behind", "aggregate", "statistics", "save_judgements", "counts", "clean_up", "finish")


@pytest.mark.timeout(120)
async def test_killed_after_any_step_it_ends_in_the_same_rows(bench: Bench, temporal: str) -> None:
    """Seven runs lose their worker, each at another step; an eighth does not: all end alike."""
    client = await Client.connect(temporal)
    prefix = bench.topics.prefix
    pool = await connect_pool(bench.dsn, role="headrace_writer", application="chaos")
    runs = {}
    for step in ("", *STEPS):
        run = await store_run(bench.pool, bench.tenant, bench.topics.samples)
        runs[step] = run.execution
        for event in (run.started, run.finished):
            await RunStore(pool).record(event)
        await PostTestStarter(client, prefix + step, GROUP).start(run.execution)

    await asyncio.gather(*(_dies(bench.dsn, temporal, prefix + step, step) for step in STEPS))

    activities = PostTestActivities(RunStore(pool), Metrics(CollectorRegistry()))
    async with contextlib.AsyncExitStack() as workers:
        for step in runs:
            worker = Worker(
                client,
                task_queue=prefix + step,
                workflows=[PostTestWorkflow],
                activities=activities.all,
            )
            await workers.enter_async_context(worker)
        outcomes = await asyncio.gather(*(_outcome(client, run) for run in runs.values()))
    rows = {step: await rows_of(bench.pool, run) for step, run in runs.items()}
    await pool.close()

    assert {outcome.verdict for outcome in outcomes} == {"passed"}
    assert (rows[""]["state"], rows[""]["raw"], rows[""]["deleted"]) == ("finished", 0, True)
    assert {row["kind"] for row in rows[""]["aggregates"]} == {
        "bucket",
        "total",
        "endpoint",
        "summary",
    }
    assert [(row["passes"], row["fails"]) for row in rows[""]["run_checks"]] == [(150, 150)]
    assert [(row["name"], row["error_code"], row["n"]) for row in rows[""]["run_errors"]] == [
        ("get", "1500", 300)
    ]
    for step in STEPS:
        assert rows[step] == rows[""], step


async def _dies(dsn: str, temporal: str, queue: str, step: str) -> None:
    """Run a worker that dies at `step`, and see it dead."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.dying_worker", dsn, temporal, queue, step
    )
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL


async def _outcome(client: Client, execution: UUID) -> Outcome:
    handle = client.get_workflow_handle(workflow_id(execution), result_type=Outcome)
    outcome: Outcome = await handle.result()
    return outcome
