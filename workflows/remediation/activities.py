"""The steps of remediation that reach out: to the database, and to what a playbook acts on.

Each may run again at any time. What must not happen twice is decided by the database, not here.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Literal

from temporalio import activity

from schemas.errors import Invalid, Temporary
from schemas.rendering import render
from schemas.transitions import Transition
from sinks.playbooks import PlaybookStore
from sinks.remediation_trail import RemediationTrail, StepKey
from sinks.remediations import ENDED, RemediationStore, State
from sinks.verification import Verifier
from workflows.actions.actions import Actions
from workflows.actions.occasions import Occasion
from workflows.metrics import Metrics
from workflows.remediation.planning import (
    facts_of_subject,
    incident_of,
    prepare,
    step_plan,
    steps_of,
)
from workflows.remediation.types import (
    ESCALATION,
    Answer,
    Decision,
    End,
    Note,
    Opening,
    Question,
    Remedy,
    StepResult,
    StepTask,
)

_BEAT = 3.0
"""Seconds between heartbeats: under a third of the workflow's heartbeat timeout."""
_PAUSE = 1.0


class RemediationActivities:
    """Over the stores of one database; `per_tenant` caps a tenant's runs in any hour."""

    def __init__(
        self,
        store: RemediationStore,
        trail: RemediationTrail,
        playbooks: PlaybookStore,
        actions: Actions,
        metrics: Metrics,
        *,
        verifier: Verifier,
        per_tenant: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._trail = trail
        self._verifier = verifier
        self._playbooks = playbooks
        self._actions = actions
        self._metrics = metrics
        self._per_tenant = per_tenant
        self._clock = clock

    @property
    def all(self) -> list[Callable[..., Awaitable[object]]]:
        """The activities, for a worker to serve."""
        return [self.open, self.decide, self.go_on, self.run_step, self.note, self.ask, self.end]

    @activity.defn(name="remediation_open")
    async def open(self, opening: Opening) -> Remedy:
        """Decide whether an incident is remedied, and how."""
        change = opening.change
        transition = Transition.model_validate_json(json.dumps(change.transition))
        remediation = transition.remediation
        if remediation is None:
            raise Invalid("no_remediation", f"The rule {transition.rule} has no playbook.")
        playbooks = await self._playbooks.with_includes(transition.tenant_id, remediation.playbook)
        plan = prepare(
            transition,
            remediation,
            playbooks,
            self._actions,
            self._clock(),
            receivers=await self._actions.receivers(transition.tenant_id),
            per_tenant=self._per_tenant,
        )
        opened = await self._store.open(
            incident_of(transition), plan, opening.owner, resolved=opening.resolved
        )
        if opened.state in ENDED or not opened.mine:
            self._metrics.remediations.labels(opened.state).inc()
            return Remedy(opened.remediation_id, change.episode, opened.state)
        # As it was stored, perhaps by an attempt before this one and of an earlier version.
        subject = await self._trail.load(opened.remediation_id)
        facts, steps = facts_of_subject(subject), steps_of(subject)
        return Remedy(
            opened.remediation_id,
            change.episode,
            opened.state,
            steps=[step_plan(step, facts) for step in steps if step.id != ESCALATION],
            expires_at=opened.expires_at,
            verify_seconds=remediation.verify_after.total_seconds(),
            cancel_on_resolve=subject.cancel_on_resolve,
            escalates=any(step.id == ESCALATION for step in steps),
        )

    @activity.defn(name="remediation_decide")
    async def decide(self, decision: Decision) -> None:
        """Take an approver's word. Fails with Invalid when it comes too late, or remediation is paused."""
        verdict: Literal["approved", "rejected"] = "approved" if decision.approved else "rejected"
        await self._store.decide(decision.remediation_id, verdict, decision.who, decision.why)

    @activity.defn(name="remediation_go_on")
    async def go_on(self, end: End) -> None:
        """Tell what is done now."""
        await self._store.go_on(end.remediation_id, end.state)

    @activity.defn(name="remediation_end")
    async def end(self, end: End) -> State:
        """End it, unless it has ended; return its state."""
        state = await self._store.end(
            end.remediation_id, end.state, end.reason, only_from=end.only_from
        )
        self._metrics.remediations.labels(state).inc()
        return state

    @activity.defn(name="remediation_ask")
    async def ask(self, question: Question) -> Answer:
        """Look whether the alert cleared, and write down what was seen."""
        found = await self._verifier.ask(question.remediation_id)
        return Answer(found.cleared, found.told)

    @activity.defn(name="remediation_note")
    async def note(self, note: Note) -> None:
        """Write down a step that needed no attempt."""
        task = note.task
        key = StepKey(task.remediation_id, task.kind, task.step, task.owner)
        await self._trail.note(key, note.action, "workflow", note.status, note.told)

    @activity.defn(name="remediation_step")
    async def run_step(self, task: StepTask) -> StepResult:
        """Make one attempt at a step, if the database lets it begin."""
        async with _beating():
            try:
                subject = await self._trail.load(task.remediation_id)
            except Invalid as gone:
                return StepResult("stopped", str(gone))
            step = next(one for one in steps_of(subject) if one.id == task.step)
            doing = step.do if task.kind != "undo" or step.undo is None else step.undo
            facts = facts_of_subject(subject)
            key = StepKey(task.remediation_id, task.kind, task.step, task.owner)
            attempt = await self._trail.begin(
                key,
                doing.action,
                f"{subject.playbook}@{subject.version}",
                render(doing, facts),
                doing.retries + 1,
            )
            if attempt.number is None:
                return StepResult(attempt.outcome, attempt.told)
            occasion = Occasion(
                subject.tenant_id, task.remediation_id, task.step, facts, subject.created_at
            )
            try:
                result = StepResult("succeeded", await self._actions.perform(doing, occasion))
            except Invalid as error:
                result = StepResult("failed", str(error))
            except Temporary as error:
                result = StepResult("failed", str(error), again=not attempt.last)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is written down, and not tried for ever
                result = StepResult("failed", f"Unexpected {type(error).__name__}.")
            await self._written(key, attempt.number, result)
            self._metrics.remediation_steps.labels(doing.action, result.came).inc()
            return result

    async def _written(self, key: StepKey, number: int, result: StepResult) -> None:
        """Write down what came of an attempt, however long the database is away: it is done already."""
        status: Literal["succeeded", "failed"] = (
            "succeeded" if result.came == "succeeded" else "failed"
        )
        while True:
            try:
                await self._trail.end(key, number, status, result.told)
            except Temporary:
                await asyncio.sleep(_PAUSE)
            else:
                return


@contextlib.asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Tell Temporal that the worker lives, so that the step of a dead one is noticed soon."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(_BEAT)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
