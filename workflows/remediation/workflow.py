"""The order and the patience of remediation. Does no I/O and asks no clock itself."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from sinks.remediation_trail import Kind
    from sinks.remediations import ENDED, State
    from workflows.remediation.activities import RemediationActivities as Do
    from workflows.remediation.types import (
        ESCALATION,
        ESCALATION_ATTEMPTS,
        Alert,
        Change,
        Decision,
        End,
        Note,
        Opening,
        Progress,
        Remedy,
        StepPlan,
        StepResult,
        StepTask,
    )

_RETRY = RetryPolicy(
    # For ever: what fails here is a database that is away. Invalid is what no attempt will change.
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=30),
    non_retryable_error_types=["Invalid"],
)
_SHORT: ActivityConfig = {
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
_REMEMBERED = 50
"""Episodes that are known to be over."""
_LONGEST_NAME = 200


@workflow.defn(name="remediation")
class RemediationWorkflow:
    """One alert: its incidents, one after the other."""

    @workflow.init
    def __init__(self, alert: Alert) -> None:
        self._alert = alert
        self._step: str | None = None

    @workflow.signal
    def changed(self, change: Change) -> None:
        """Hear that the alert fires (again), or has resolved."""
        alert = self._alert
        if not change.firing:
            alert.resolved = [*alert.resolved, change.episode][-_REMEMBERED:]
        elif change.episode not in {
            *alert.resolved,
            *(one.episode for one in alert.waiting),
            *([alert.remedy.episode] if alert.remedy else ()),
        }:
            alert.waiting.append(change)

    @workflow.query
    def progress(self) -> Progress:
        """Say which step is on."""
        remedy = self._alert.remedy
        waiting = len(self._alert.waiting)
        if remedy is None:
            return Progress(None, None, None, waiting)
        return Progress(remedy.remediation_id, remedy.state, self._step, waiting)

    @workflow.update
    async def approve(self, decision: Decision) -> None:
        """Let it begin. Fails when it has expired, or remediation is paused."""
        await self._decide(decision)

    @workflow.update
    async def reject(self, decision: Decision) -> None:
        """Have nothing done."""
        await self._decide(decision)

    @approve.validator
    def validate_approve(self, decision: Decision) -> None:
        """Refuse what nobody waits for, before it is in the history."""
        self._check(decision)

    @reject.validator
    def validate_reject(self, decision: Decision) -> None:
        """Refuse what nobody waits for, before it is in the history."""
        self._check(decision)

    @workflow.run
    async def run(self, _: Alert) -> None:
        """Remedy one incident after the other, until none is left."""
        alert = self._alert
        while True:
            if alert.remedy is None and alert.waiting:
                await self._open(alert.waiting[0])
            if alert.remedy is not None:
                await self._remedy(alert.remedy)
                alert.remedy = None
            # An answer that is still to be given keeps the workflow; meanwhile another incident may come.
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not alert.waiting:
                return
            await self._continue_if_long()

    def _check(self, decision: Decision) -> None:
        remedy = self._alert.remedy
        if remedy is None or remedy.remediation_id != decision.remediation_id:
            raise ValueError("It is not in hand now: look at its state.")
        if remedy.state != "awaiting":
            raise ValueError(f"It is {remedy.state}: nobody waits for a decision.")
        if not decision.who.strip() or len(decision.who) > _LONGEST_NAME:
            raise ValueError("Say who decides, in at most 200 characters.")

    async def _decide(self, decision: Decision) -> None:
        await workflow.execute_activity_method(Do.decide, decision, **_SHORT)
        remedy = self._alert.remedy
        waiting = remedy is not None and remedy.state == "awaiting"
        if remedy is not None and waiting and remedy.remediation_id == decision.remediation_id:
            remedy.state = "running" if decision.approved else "rejected"

    async def _open(self, change: Change) -> None:
        """Have the database decide of an incident."""
        opening = Opening(change, self._owner, change.episode in self._alert.resolved)
        remedy = await workflow.execute_activity_method(Do.open, opening, **_SHORT)
        self._alert.waiting = [one for one in self._alert.waiting if one.episode != change.episode]
        if remedy.state not in ENDED:
            self._alert.remedy = remedy

    async def _remedy(self, remedy: Remedy) -> None:
        """Carry an incident from where it is to its end."""
        if remedy.state == "awaiting":
            await self._await_approval(remedy)
        if remedy.state == "running":
            await self._do_steps(remedy)
        if remedy.state == "verifying":
            await self._verify(remedy)

    async def _await_approval(self, remedy: Remedy) -> None:
        while remedy.state == "awaiting" and not self._over(remedy):
            await self._continue_if_long()
            left = (remedy.expires_at or workflow.now()) - workflow.now()
            if left <= timedelta(0):
                break
            try:
                await workflow.wait_condition(
                    lambda: remedy.state != "awaiting" or self._over(remedy) or self._is_long(),
                    timeout=left,
                )
            except TimeoutError:
                break
        # A decision may be on its way to the database: what it says there counts.
        if remedy.state == "awaiting":
            waiting: list[State] = ["awaiting"]
            if self._over(remedy):
                reason = "the alert resolved before anything was done"
                await self._end(remedy, "cancelled", reason, waiting)
            else:
                await self._escalate(
                    remedy, "nobody approved it in time: nothing was done", waiting
                )

    async def _do_steps(self, remedy: Remedy) -> None:
        while remedy.next < len(remedy.steps):
            await self._continue_if_long()
            if self._cancelled(remedy):
                await self._stop(remedy)
                return
            step = remedy.steps[remedy.next]
            self._step = step.id
            result = await self._do(remedy, step)
            self._step = None
            remedy.outcomes[step.id] = result.came
            remedy.next += 1
            if result.came == "stopped":
                await self._escalate(remedy, f"stopped before step {step.id}: {result.told}")
                return
            if result.came == "failed" and not step.goes_on:
                undone = await self._undo(remedy)
                await self._escalate(remedy, f"step {step.id} failed: {result.told}{undone}")
                return
        await self._go_on(remedy, "verifying")

    async def _do(self, remedy: Remedy, step: StepPlan) -> StepResult:
        """Do a step, or see that it is not to be done."""
        task = StepTask(remedy.remediation_id, "step", step.id, self._owner)
        if step.skipped or any(remedy.outcomes.get(one) != came for one, came in step.after):
            why = "the alert's level or labels" if step.skipped else "what came of an earlier step"
            note = Note(task, step.action, "skipped", f"ruled out by {why}")
            await workflow.execute_activity_method(Do.note, note, **_SHORT)
            return StepResult("skipped")
        if step.action == "wait":
            told = await self._wait(remedy, step.seconds)
            note = Note(task, step.action, "succeeded", told)
            await workflow.execute_activity_method(Do.note, note, **_SHORT)
            return StepResult("succeeded")
        return await self._attempts(remedy, task.kind, step.id, step.seconds, step.attempts)

    async def _wait(self, remedy: Remedy, seconds: float) -> str:
        try:
            await workflow.wait_condition(lambda: self._cancelled(remedy), timeout=seconds)
        except TimeoutError:
            return f"waited {seconds:g} s"
        return "the alert resolved meanwhile"

    async def _attempts(
        self, remedy: Remedy, kind: Kind, step: str, seconds: float, attempts: int
    ) -> StepResult:
        task = StepTask(remedy.remediation_id, kind, step, self._owner)
        for number in range(attempts):
            result = await workflow.execute_activity_method(
                Do.run_step,
                task,
                start_to_close_timeout=timedelta(seconds=seconds) + _AFTERWARDS,
                heartbeat_timeout=_HEARTBEAT,
                retry_policy=_RETRY,
            )
            if not result.again or (kind == "step" and self._cancelled(remedy)):
                break
            await workflow.sleep(min(2.0**number, _LONGEST_PAUSE))
        return result

    async def _undo(self, remedy: Remedy) -> str:
        """Undo what succeeded, the last first; return what is to be said of it."""
        failed = []
        done = [
            step
            for step in remedy.steps[: remedy.next]
            if step.undo_seconds is not None and remedy.outcomes.get(step.id) == "succeeded"
        ]
        for step in reversed(done):
            result = await self._attempts(
                remedy, "undo", step.id, step.undo_seconds or 0.0, step.undo_attempts
            )
            if result.came != "succeeded":
                failed.append(step.id)
        return f"; {', '.join(failed)} could not be undone" if failed else ""

    async def _stop(self, remedy: Remedy) -> None:
        """The alert resolved before all was done."""
        done = [name for name, came in remedy.outcomes.items() if came == "succeeded"]
        if done:
            await self._end(remedy, "succeeded", f"the alert resolved after step {done[-1]}")
        else:
            await self._end(remedy, "cancelled", "the alert resolved before anything was done")

    async def _verify(self, remedy: Remedy) -> None:
        """Wait for the alert to resolve, as long as the rule says."""
        if remedy.verify_until is None:
            remedy.verify_until = workflow.now() + timedelta(seconds=remedy.verify_seconds)
        while not self._over(remedy):
            await self._continue_if_long()
            left = remedy.verify_until - workflow.now()
            if left <= timedelta(0):
                break
            try:
                await workflow.wait_condition(
                    lambda: self._over(remedy) or self._is_long(), timeout=left
                )
            except TimeoutError:
                break
        if self._over(remedy):
            await self._end(remedy, "succeeded", "the alert resolved")
        else:
            await self._escalate(
                remedy,
                f"the alert has not resolved {remedy.verify_seconds:g} s after the last step",
            )

    async def _escalate(
        self, remedy: Remedy, reason: str, only_from: list[State] | None = None
    ) -> None:
        await self._end(remedy, "escalated", reason, only_from)
        if remedy.state == "escalated" and remedy.escalates:
            await self._attempts(remedy, "escalation", ESCALATION, 30.0, ESCALATION_ATTEMPTS)

    async def _end(
        self, remedy: Remedy, state: State, reason: str, only_from: list[State] | None = None
    ) -> None:
        end = End(remedy.remediation_id, state, reason, only_from)
        remedy.state = await workflow.execute_activity_method(Do.end, end, **_SHORT)

    async def _go_on(self, remedy: Remedy, state: State) -> None:
        end = End(remedy.remediation_id, state, "")
        await workflow.execute_activity_method(Do.go_on, end, **_SHORT)
        remedy.state = state

    @property
    def _owner(self) -> str:
        """The same for all that this workflow becomes by continuing as new."""
        return workflow.info().first_execution_run_id

    def _over(self, remedy: Remedy) -> bool:
        return remedy.episode in self._alert.resolved

    def _cancelled(self, remedy: Remedy) -> bool:
        return remedy.cancel_on_resolve and self._over(remedy)

    def _is_long(self) -> bool:
        info = workflow.info()
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > _LONG

    async def _continue_if_long(self) -> None:
        if self._is_long():
            # Whoever waits for an answer gets it from this run.
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(self._alert)
