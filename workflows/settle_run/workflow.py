"""The order and the patience of settling a run. Does no I/O and asks no clock itself."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from workflows.post_test.workflow import WAIT
    from workflows.settle_run.activities import SettleRunActivities as Do
    from workflows.settle_run.types import SettleRun

_SHORT: ActivityConfig = {
    # One statement or request, which may wait 10 s for a lock.
    "start_to_close_timeout": timedelta(seconds=30),
    # For ever: the database, the broker or Temporal is away, and nothing is lost by waiting for it.
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)
    ),
}


@workflow.defn(name="settle-run")
class SettleRunWorkflow:
    """One run that nobody finishes."""

    @workflow.run
    async def run(self, task: SettleRun) -> bool:
        """Carry out the steps; return whether a post-test was started."""
        ends = await workflow.execute_activity_method(Do.topic_ends, **_SHORT)
        await workflow.execute_activity_method(Do.await_positions, args=[task, ends], **WAIT)
        settled = await workflow.execute_activity_method(Do.settle, task, **_SHORT)
        if settled:
            await workflow.execute_activity_method(Do.start_post_test, task, **_SHORT)
        return settled
