"""The post-test workflow: its order, its patience, and what it refuses to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from tests.workflows.memory_runs import EXECUTION, MemoryRuns
from workflows.metrics import Metrics
from workflows.post_test.activities import PostTestActivities
from workflows.post_test.start import PostTestStarter, workflow_id
from workflows.post_test.types import Outcome, PostTest, Progress
from workflows.post_test.workflow import PostTestWorkflow

pytestmark = pytest.mark.timeout(60)  # a step that never succeeds makes skipped time spin

QUEUE = "post-test"
ONCE = ["behind", "aggregate", "statistics", "save_judgements", "counts", "clean_up", "finish"]


@asynccontextmanager
async def post_test(
    environment: WorkflowEnvironment, runs: MemoryRuns
) -> AsyncIterator[WorkflowHandle[PostTestWorkflow, Outcome]]:
    """A worker over `runs`, and the workflow of its run, asked for twice."""
    steps = PostTestActivities(runs, Metrics(CollectorRegistry()))
    async with Worker(
        environment.client, task_queue=QUEUE, workflows=[PostTestWorkflow], activities=steps.all
    ):
        handle = await start(environment)
        await PostTestStarter(environment.client, QUEUE, "ingest").start(EXECUTION)
        yield handle


async def start(
    environment: WorkflowEnvironment, name: str = workflow_id(EXECUTION)
) -> WorkflowHandle[PostTestWorkflow, Outcome]:
    """Start the workflow; time is skipped only through the handle that a start returns."""
    return await environment.client.start_workflow(
        PostTestWorkflow.run, PostTest(EXECUTION, "ingest"), id=name, task_queue=QUEUE
    )


async def test_a_run_is_aggregated_judged_and_finished_once(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Each step happens once and in order, though the workflow is asked for twice."""
    runs = MemoryRuns()
    async with post_test(time_skipping, runs) as handle:
        assert await handle.result() == Outcome(rows=1, verdict="passed")
        assert await handle.query(PostTestWorkflow.progress) == Progress(
            step="finished", rows=1, verdict="passed", mismatches=[]
        )
    assert runs.calls == ONCE
    assert (runs.run.state, runs.verdict, runs.run.raw_deleted) == ("finished", "passed", True)
    assert [(j.observed, j.passed) for j in runs.run.judgements] == [(3.0, True)]


async def test_a_crossed_threshold_fails_the_run_not_the_workflow(
    time_skipping: WorkflowEnvironment,
) -> None:
    """A failed verdict is a result like any other: the run is aggregated, cleaned up and closed."""
    runs = MemoryRuns(threshold="max<3")
    async with post_test(time_skipping, runs) as handle:
        assert (await handle.result()).verdict == "failed"
    assert (runs.run.state, runs.verdict) == ("finished", "failed")


async def test_a_run_without_points_finishes(time_skipping: WorkflowEnvironment) -> None:
    """A script that sent nothing has nothing to wait for and nothing to aggregate."""
    runs = MemoryRuns(values=[])
    async with post_test(time_skipping, runs) as handle:
        assert await handle.result() == Outcome(rows=0, verdict="passed")
    assert runs.run.state == "finished"


async def test_hours_of_waiting_for_ingest_cost_no_history(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Ingest may be away for long: the workflow waits and goes on, its history stays short."""
    runs = MemoryRuns(behind_for=400)
    began = await time_skipping.get_current_time()
    async with post_test(time_skipping, runs) as handle:
        assert (await handle.result()).verdict == "passed"
        history = await handle.fetch_history()
    assert await time_skipping.get_current_time() - began > timedelta(hours=3)
    assert len(history.events) < 60


@pytest.mark.parametrize("method", ONCE)
async def test_each_step_outlives_an_outage(
    time_skipping: WorkflowEnvironment, method: str
) -> None:
    """A database that is away for twenty attempts delays the step, and changes no result."""
    runs = MemoryRuns(outages={method: 20})
    async with post_test(time_skipping, runs) as handle:
        assert await handle.result() == Outcome(rows=1, verdict="passed")
    assert runs.calls.count(method) == 21
    assert runs.run.state == "finished"


async def test_a_mismatch_fails_and_deletes_nothing(time_skipping: WorkflowEnvironment) -> None:
    """Lost points are looked for a few times; then the workflow fails with the figures."""
    runs = MemoryRuns(lost=1)
    async with post_test(time_skipping, runs) as handle:
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        progress = await handle.query(PostTestWorkflow.progress)
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("CountsDisagreeError", True)
    assert "3 points sent, but 2 stored" in str(cause)
    assert progress.step == "verifying"
    assert progress.mismatches
    assert runs.calls.count("counts") == 4
    assert "clean_up" not in runs.calls
    assert (runs.run.state, runs.run.raw_deleted) == ("aggregating", False)


async def test_points_found_meanwhile_are_aggregated(time_skipping: WorkflowEnvironment) -> None:
    """A mismatch that heals is no failure: the run is aggregated anew with what came late."""
    runs = MemoryRuns(lost=1, found_at=3)
    async with post_test(time_skipping, runs) as handle:
        assert (await handle.result()).verdict == "passed"
    assert runs.calls.count("aggregate") == 3


async def test_a_failed_workflow_can_be_asked_for_again(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Once the counts are put right, another finished event brings the run to its end."""
    runs = MemoryRuns(lost=1)
    async with post_test(time_skipping, runs) as handle:
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        runs.lost = 0
        await PostTestStarter(time_skipping.client, QUEUE, "ingest").start(EXECUTION)
        again = time_skipping.client.get_workflow_handle(
            workflow_id(EXECUTION), result_type=Outcome
        )
        assert (await again.result()).verdict == "passed"  # without a wait there is nothing to skip


async def test_a_run_whose_points_are_gone_keeps_its_judgements(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Run anew from the start after its cleanup, the workflow ends in what was stored before it."""
    runs = MemoryRuns(threshold="max<3")
    async with post_test(time_skipping, runs) as handle:
        await handle.result()
        judged = runs.run.judgements
        runs.values = []
        again = await (await start(time_skipping, "again")).result()
    assert again == Outcome(rows=0, verdict="failed")
    assert runs.run.judgements == judged
