"""The order and the patience of remediation. Does no I/O and asks no clock itself."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from sinks.remediations import ENDED, State
    from workflows.remediation.activities import RemediationActivities as Do
    from workflows.remediation.attributes import SEVERITY
    from workflows.remediation.course import SHORT, Course
    from workflows.remediation.steps import do_steps
    from workflows.remediation.types import (
        Alert,
        Change,
        Decision,
        Leveled,
        Opening,
        Progress,
        Remedy,
    )
    from workflows.remediation.verification import cleared, verify

_REMEMBERED = 50
"""Episodes that are known to be over."""
_LONGEST_NAME = 200
_SHOW = "show-the-level"


@workflow.defn(name="remediation")
class RemediationWorkflow:
    """One alert: its incidents, one after the other."""

    @workflow.init
    def __init__(self, alert: Alert) -> None:
        self._alert = alert
        self._course = Course(alert)
        self._opening = False

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

    @workflow.signal
    def leveled(self, leveled: Leveled) -> None:
        """Hear that the alert became worse or better; told again, or late, it changes nothing."""
        alert, known = self._alert, self._alert.leveled
        if leveled.episode in alert.resolved:
            return
        if (
            known is not None
            and known.episode == leveled.episode
            and known.number >= leveled.number
        ):
            return
        alert.leveled = leveled
        if self._opening:
            self._show(alert.waiting[0].episode, alert.waiting[0].level)
        elif alert.remedy is not None:
            self._show(alert.remedy.episode, None)

    @workflow.query
    def progress(self) -> Progress:
        """Say which step is on."""
        remedy = self._alert.remedy
        waiting = len(self._alert.waiting)
        if remedy is None:
            return Progress(None, None, None, waiting)
        return Progress(remedy.remediation_id, remedy.state, self._course.step, waiting)

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
        if alert.remedy is not None:  # continued as new
            self._show(alert.remedy.episode, None)
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
            await self._course.continue_if_long()

    def _check(self, decision: Decision) -> None:
        if not decision.who.strip() or len(decision.who) > _LONGEST_NAME:
            raise ValueError("Say who decides, in at most 200 characters.")
        remedy = self._alert.remedy
        if self._opening:  # in the database it may be there already, for people to see
            return
        if remedy is None or remedy.remediation_id != decision.remediation_id:
            raise ValueError("It is not in hand now: look at its state.")
        if remedy.state != "awaiting":
            raise ValueError(f"It is {remedy.state}: nobody waits for a decision.")

    async def _decide(self, decision: Decision) -> None:
        await workflow.wait_condition(lambda: not self._opening)
        remedy = self._alert.remedy
        if remedy is None or remedy.remediation_id != decision.remediation_id:
            raise ApplicationError("It is not in hand any more: look at its state.")
        await workflow.execute_activity_method(Do.decide, decision, **SHORT)
        if remedy.state == "awaiting":
            remedy.state = "running" if decision.approved else "rejected"

    async def _open(self, change: Change) -> None:
        """Have the database decide of an incident."""
        opening = Opening(change, self._course.owner, change.episode in self._alert.resolved)
        self._opening = True
        self._show(change.episode, change.level)
        remedy = await workflow.execute_activity_method(Do.open, opening, **SHORT)
        self._alert.waiting = [one for one in self._alert.waiting if one.episode != change.episode]
        if remedy.state not in ENDED:
            self._alert.remedy = remedy
        self._opening = False

    async def _remedy(self, remedy: Remedy) -> None:
        """Carry an incident from where it is to its end."""
        if remedy.state == "awaiting":
            await self._await_approval(remedy)
        if remedy.state == "running":
            await do_steps(self._course, remedy)
        if remedy.state == "verifying":
            await verify(self._course, remedy)

    async def _await_approval(self, remedy: Remedy) -> None:
        while remedy.state == "awaiting" and not self._course.over(remedy):
            await self._course.continue_if_long()
            left = (remedy.expires_at or workflow.now()) - workflow.now()
            if left <= timedelta(0):
                break
            try:
                await workflow.wait_condition(
                    lambda: (
                        remedy.state != "awaiting"
                        or self._course.over(remedy)
                        or self._course.is_long
                    ),
                    timeout=left,
                )
            except TimeoutError:
                break
        # A decision may be on its way to the database: what it says there counts.
        if remedy.state == "awaiting":
            waiting: list[State] = ["awaiting"]
            if self._course.over(remedy) or await cleared(self._course, remedy) is not None:
                reason = "the alert resolved before anything was done"
                await self._course.end(remedy, "cancelled", reason, waiting)
            else:
                reason = "nobody approved it in time: nothing was done"
                await self._course.escalate(remedy, reason, waiting)

    def _show(self, episode: str, level: str | None) -> None:
        """Have Temporal find it by the level that the incident in hand is at; `level` is how it began."""
        heard = self._alert.leveled
        if heard is not None and heard.episode == episode:
            level = heard.level
        shown = workflow.info().typed_search_attributes.get(SEVERITY)
        # Without a level of its own the server has no such attribute, and would refuse it.
        if level in {None, shown} or shown is None or not workflow.patched(_SHOW):
            return
        workflow.upsert_search_attributes([SEVERITY.value_set(level)])
