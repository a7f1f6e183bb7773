"""The time that a group's notifications take. Does no I/O and asks no clock but the workflow's."""

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from workflows.heartbeats import TIMEOUT
    from workflows.notify.activities import NotifyActivities as Do
    from workflows.notify.types import Flushed, NotifyGroup

_FLUSH: ActivityConfig = {
    # A few statements, and one conversation of some tens of seconds at the most.
    "start_to_close_timeout": timedelta(minutes=2),
    "heartbeat_timeout": TIMEOUT,
    # For ever: each attempt tells what is true by then, and one that finds nothing left to tell succeeds.
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)
    ),
}


@workflow.defn(name="notify")
class NotifyWorkflow:
    """One group of one receiver, until nothing is left to tell."""

    def __init__(self) -> None:
        self._woken = False

    @workflow.signal
    def wake(self) -> None:
        """Something changed: there may be news to tell."""
        self._woken = True

    @workflow.run
    async def run(self, group: NotifyGroup) -> None:
        """Tell the group's receiver, again and again."""
        await workflow.sleep(group.wait)
        for _ in range(group.flushes):
            self._woken = False
            flushed = await workflow.execute_activity_method(Do.flush, group, **_FLUSH)
            if not flushed.left and not self._woken:
                return
            await self._rest(flushed)
        workflow.continue_as_new(replace(group, wait=0.0))

    async def _rest(self, flushed: Flushed) -> None:
        """Until the next flush: no news before the receiver's rest is over, nothing later than asked."""
        if flushed.more:
            return
        ends = workflow.time() + flushed.rest
        try:
            await workflow.wait_condition(lambda: self._woken, timeout=flushed.check_in)
        except TimeoutError:
            return
        await workflow.sleep(max(0.0, ends - workflow.time()))
