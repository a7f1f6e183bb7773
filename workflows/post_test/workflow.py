"""The order and the patience of the post-test steps. Does no I/O and asks no clock itself."""

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from sinks.runs import CountsDisagreeError
    from workflows.heartbeats import TIMEOUT
    from workflows.post_test.activities import PostTestActivities as Do
    from workflows.post_test.types import Outcome, PostTest, Progress, Verdict

_RETRY = RetryPolicy(
    # For ever: what fails here is a database that is away, and nothing is lost by waiting for it.
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=30),
    non_retryable_error_types=[CountsDisagreeError.__name__],
)
WAIT: ActivityConfig = {
    "start_to_close_timeout": timedelta(seconds=15),
    # Ingest may be away for as long as the samples topic keeps the points; after that they are lost.
    "schedule_to_close_timeout": timedelta(days=7),
    # The retries of one activity are the poll: they cost no history and hold no worker's slot however
    # long they go on, outlive the worker, and `describe` shows how far behind ingest is.
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=0.25),
        backoff_coefficient=1.5,
        maximum_interval=timedelta(seconds=30),
    ),
}
_SHORT: ActivityConfig = {
    # One statement of a millisecond, which may wait 10 s for a lock.
    "start_to_close_timeout": timedelta(seconds=15),
    "retry_policy": _RETRY,
}
_LONG: ActivityConfig = {
    # Reads every point of the run: 10 million take half a minute.
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": TIMEOUT,
    "retry_policy": _RETRY,
}
# Counts are settled when ingest has passed the run. Should something else still be writing, this is
# its chance; what disagrees after it needs a person.
_RECHECKS = 3
_RECHECK_AFTER = timedelta(seconds=30)


@workflow.defn(name="post-test")
class PostTestWorkflow:
    """One run, from stored raw points to aggregates and a verdict."""

    def __init__(self) -> None:
        self._progress = Progress()

    @workflow.query
    def progress(self) -> Progress:
        """Say which step is on, and what keeps it from ending well."""
        return self._progress

    @workflow.run
    async def run(self, task: PostTest) -> Outcome:
        """Carry out the steps. Fails with CountsDisagreeError, the raw points kept, when counts disagree."""
        await workflow.execute_activity_method(Do.await_ingest, task, **WAIT)
        rows, verdict = await self._aggregate(task)
        self._progress = replace(self._progress, step="deleting")
        await workflow.execute_activity_method(Do.clean_up, task, **_LONG)
        self._progress = replace(self._progress, step="finishing")
        await workflow.execute_activity_method(Do.finish, args=[task, verdict], **_SHORT)
        self._progress = replace(self._progress, step="finished")
        return Outcome(rows, verdict)

    async def _aggregate(self, task: PostTest) -> tuple[int, Verdict]:
        """Aggregate, evaluate and verify, until the counts agree."""
        for rechecks_left in reversed(range(_RECHECKS + 1)):
            self._progress = replace(self._progress, step="aggregating")
            rows = await workflow.execute_activity_method(Do.aggregate, task, **_LONG)
            self._progress = replace(self._progress, step="evaluating", rows=rows)
            verdict = await workflow.execute_activity_method(Do.evaluate, task, **_LONG)
            self._progress = replace(self._progress, step="verifying", verdict=verdict)
            mismatches = await workflow.execute_activity_method(Do.verify, task, **_LONG)
            self._progress = replace(self._progress, mismatches=mismatches)
            if not mismatches:
                return rows, verdict
            if rechecks_left:
                await workflow.sleep(_RECHECK_AFTER)
        raise ApplicationError(
            f"Run {task.execution_id} keeps its raw points, because its counts disagree: "
            f"{'; '.join(mismatches)}. Compare run_ledger with what its runners sent; once they agree, "
            "send its finished event again.",
            type=CountsDisagreeError.__name__,
            non_retryable=True,
        )
