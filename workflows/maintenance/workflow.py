"""One round of maintenance: its parts in order, each tried twice. Does no I/O and asks no clock itself."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from workflows.maintenance.activities import MaintenanceActivities as Do
    from workflows.maintenance.types import Outcome, Round

_ATTEMPTS = 2
"""A deadlock or a cut connection is over by then; the next round tries again what lasts longer."""


@workflow.defn(name="maintenance")
class MaintenanceWorkflow:
    """One round."""

    def __init__(self) -> None:
        self._part = ""

    @workflow.query
    def part(self) -> str:
        """Say which part runs."""
        return self._part

    @workflow.run
    async def run(self, task: Round) -> Outcome:
        """Run the parts. Fails, after the last, with what failed."""
        told: dict[str, str] = {}
        failed: list[str] = []
        for self._part in task.parts:
            try:
                told[self._part] = await workflow.execute_activity_method(
                    Do.run_part,
                    self._part,
                    # The first refresh of a month of samples that were there before, a day a step.
                    start_to_close_timeout=timedelta(hours=6),
                    # After this the part of a killed worker goes to another.
                    heartbeat_timeout=timedelta(seconds=15),
                    retry_policy=RetryPolicy(
                        initial_interval=timedelta(seconds=2), maximum_attempts=_ATTEMPTS
                    ),
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                cause = error.cause
                words = cause.message if isinstance(cause, FailureError) else str(error)
                failed.append(f"{self._part}: {words}")
        if failed:
            raise ApplicationError("; ".join(failed), type="MaintenanceFailed", non_retryable=True)
        return Outcome(told)
