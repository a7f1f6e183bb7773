"""What a workflow of remediation does at any point of its course: attempts, ends, and going on as new."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from sinks.remediation_trail import Kind
    from sinks.remediations import State
    from workflows.remediation.activities import RemediationActivities as Do
    from workflows.remediation.types import (
        ESCALATION,
        ESCALATION_ATTEMPTS,
        Alert,
        End,
        Remedy,
        StepResult,
        StepTask,
    )

_RETRY = RetryPolicy(
    # For ever: what fails here is a database that is away. Invalid is what no attempt will change.
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=30),
    non_retryable_error_types=["Invalid"],
)
SHORT: ActivityConfig = {
    # A few statements, which may wait 10 s for a lock.
    "start_to_close_timeout": timedelta(seconds=15),
    "retry_policy": _RETRY,
}
_HEARTBEAT = timedelta(seconds=10)
"""After this the step of a killed worker goes to another, which finds what the first had begun."""
_AFTERWARDS = timedelta(hours=1)
"""For a database that is away when a step ends: what was done must be written down."""
_LONG = 2000
"""Events of a history, after which it continues as new; a step takes six."""
_LONGEST_PAUSE = 60.0


class Course:
    """Over what the workflow keeps of its alert; `step` is the one that is on."""

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.step: str | None = None

    @property
    def owner(self) -> str:
        """The same for all that this workflow becomes by continuing as new."""
        return workflow.info().first_execution_run_id

    def over(self, remedy: Remedy) -> bool:
        """Whether we heard that the alert resolved."""
        return remedy.episode in self.alert.resolved

    def cancelled(self, remedy: Remedy) -> bool:
        """Whether what is left of the steps is not to be done."""
        return remedy.cancel_on_resolve and self.over(remedy)

    @property
    def is_long(self) -> bool:
        """Whether it is time to continue as new."""
        info = workflow.info()
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > _LONG

    async def continue_if_long(self) -> None:
        """Continue as new when it is time to."""
        if self.is_long:
            # Whoever waits for an answer gets it from this run.
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(self.alert)

    async def attempts(
        self, remedy: Remedy, kind: Kind, step: str, seconds: float, attempts: int
    ) -> StepResult:
        """Attempt a step until something comes of it; `seconds` is for each attempt."""
        task = StepTask(remedy.remediation_id, kind, step, self.owner)
        for number in range(attempts):
            result = await workflow.execute_activity_method(
                Do.run_step,
                task,
                start_to_close_timeout=timedelta(seconds=seconds) + _AFTERWARDS,
                heartbeat_timeout=_HEARTBEAT,
                retry_policy=_RETRY,
            )
            if not result.again or (kind == "step" and self.cancelled(remedy)):
                break
            await workflow.sleep(min(2.0**number, _LONGEST_PAUSE))
        return result

    async def go_on(self, remedy: Remedy, state: State) -> None:
        """It is in this state now."""
        end = End(remedy.remediation_id, state, "")
        await workflow.execute_activity_method(Do.go_on, end, **SHORT)
        remedy.state = state

    async def end(
        self, remedy: Remedy, state: State, reason: str, only_from: list[State] | None = None
    ) -> None:
        """End it, unless it has ended or is in another state than these; what the database says counts."""
        end = End(remedy.remediation_id, state, reason, only_from)
        remedy.state = await workflow.execute_activity_method(Do.end, end, **SHORT)

    async def escalate(
        self, remedy: Remedy, reason: str, only_from: list[State] | None = None
    ) -> None:
        """End it as one that did not help, and tell whoever the playbook names."""
        await self.end(remedy, "escalated", reason, only_from)
        if remedy.state == "escalated" and remedy.escalates:
            await self.attempts(remedy, "escalation", ESCALATION, 30.0, ESCALATION_ATTEMPTS)
