"""What would be done about an incident: the playbook's steps, filled in and checked. Pure but for a clock."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from schemas.errors import Invalid
from schemas.playbook_steps import FlatStep, flatten, windows, within
from schemas.playbooks import Doing, Escalation, Notify, Playbook, When
from schemas.rendering import applies, render
from schemas.rules import Remediation
from schemas.templates import Facts
from schemas.transitions import Transition
from sinks.guards import Limits
from sinks.playbooks import StoredPlaybook
from sinks.remediation_trail import Subject
from sinks.remediations import Incident, Plan, PlannedStep
from workflows.actions.actions import Actions, waits
from workflows.actions.receivers import unknown
from workflows.remediation.types import ESCALATION, ESCALATION_ATTEMPTS, StepPlan

NOBODY = UUID(int=0)


def facts_of(transition: Transition) -> Facts:
    """What templates may use of an alert."""
    return Facts(
        level=transition.level,
        rule=transition.rule,
        fingerprint=transition.fingerprint,
        labels=transition.labels,
        annotations=transition.annotations,
        value=transition.value,
        threshold=transition.threshold,
        condition=transition.condition,
    )


def facts_of_subject(subject: Subject) -> Facts:
    """The same, as the database kept it."""
    told = subject.told
    return Facts(
        level=subject.level,
        rule=subject.rule,
        fingerprint=subject.fingerprint,
        labels=subject.labels,
        annotations=told["annotations"],
        value=told["value"],
        threshold=told["threshold"],
        condition=told["condition"],
    )


def incident_of(transition: Transition) -> Incident:
    """The incident of a transition to firing."""
    told = transition.model_dump(
        mode="json",
        include={"id", "rule_version", "annotations", "value", "threshold", "condition", "at"},
    )
    return Incident(
        transition.tenant_id,
        transition.rule,
        transition.fingerprint,
        transition.episode,
        transition.level,
        transition.labels,
        told,
    )


def prepare(
    transition: Transition,
    remediation: Remediation,
    playbooks: Mapping[str, StoredPlaybook],
    actions: Actions,
    now: datetime,
    *,
    receivers: Collection[str],
    per_tenant: int,
) -> Plan:
    """The plan; one that can't be carried out says why. `receivers`: whom the tenant's playbooks may tell."""
    stored = playbooks.get(remediation.playbook)
    planned: list[PlannedStep] = []
    refused = None
    if stored is None:
        refused = f"there is no playbook {remediation.playbook!r}"
    else:
        try:
            planned = _plan(
                stored.playbook, playbooks, transition, actions, now, receivers=receivers
            )
        except Invalid as error:
            refused = str(error)
    return Plan(
        playbook=remediation.playbook,
        version=None if stored is None else stored.version,
        steps=planned,
        limits=Limits(remediation.cooldown, remediation.max_per_hour, per_tenant),
        approval_expires=(
            remediation.approval_expires if remediation.approval == "required" else None
        ),
        dry_run=remediation.dry_run,
        cancel_on_resolve=stored is None or stored.playbook.cancel_on_resolve,
        refused=refused,
    )


def _plan(
    playbook: Playbook,
    stored: Mapping[str, StoredPlaybook],
    transition: Transition,
    actions: Actions,
    now: datetime,
    *,
    receivers: Collection[str],
) -> list[PlannedStep]:
    """The steps and the escalation. Raises Invalid for what can't be done, or not now."""
    others = {name: one.playbook for name, one in stored.items()}
    facts = facts_of(transition)
    steps = flatten(playbook, others)
    if any(within(window, now) for window in windows(playbook, others)):
        raise Invalid("maintenance", "it is within a maintenance window of the playbook")
    if playbook.escalate is not None:
        steps.append(_escalation(playbook.escalate))
    for step in steps:
        _check(step, transition.tenant_id, facts, actions, receivers)
    return [_planned(step, facts) for step in steps]


def steps_of(subject: Subject) -> list[FlatStep]:
    """The steps as they were when the remediation was opened, the escalation among them."""
    return [FlatStep.model_validate_json(json.dumps(document)) for document in subject.steps]


def step_plan(step: FlatStep, facts: Facts) -> StepPlan:
    """What the workflow has to know of a step."""
    undo = step.undo
    pause = waits(step.do)
    return StepPlan(
        id=step.id,
        action=step.do.action,
        seconds=step.do.timeout.total_seconds() if pause is None else pause,
        attempts=step.do.retries + 1,
        goes_on=step.goes_on,
        undo_seconds=None if undo is None else undo.timeout.total_seconds(),
        undo_attempts=1 if undo is None else undo.retries + 1,
        after=[(when.step, when.was) for when in step.whens if when.step and when.was],
        skipped=not applies(_of_alert(step), facts, {}),
    )


def dry(
    playbook: Playbook,
    others: Mapping[str, Playbook],
    facts: Facts,
    actions: Actions | None = None,
) -> list[PlannedStep]:
    """What a playbook would do for an alert, without a database. Raises Invalid when it can't.

    With `actions` also for what is not granted to all tenants.
    """
    steps = flatten(playbook, others)
    if actions is not None:
        for step in steps:
            _check(step, NOBODY, facts, actions)
    return [_planned(step, facts) for step in steps if applies(_of_alert(step), facts, {})]


def _check(
    step: FlatStep,
    tenant: UUID,
    facts: Facts,
    actions: Actions,
    receivers: Collection[str] | None = None,
) -> None:
    """Raise Invalid, which names the step, for what can't be done."""
    if not applies(_of_alert(step), facts, {}):
        return
    try:
        doings: list[Doing] = [step.do, *([] if step.undo is None else [step.undo])]
        for doing in doings:
            actions.check(doing, tenant, facts)
            name = doing.receiver if isinstance(doing, Notify) else None
            if receivers is not None and name is not None and name not in receivers:
                raise unknown(name)
    except Invalid as error:
        raise Invalid(error.reason, f"step {step.id}: {error}") from error


def _of_alert(step: FlatStep) -> tuple[When, ...]:
    """The conditions that the alert alone decides."""
    return tuple(when.model_copy(update={"step": None, "was": None}) for when in step.whens)


def _planned(step: FlatStep, facts: Facts) -> PlannedStep:
    done = applies(_of_alert(step), facts, {})
    return PlannedStep(
        step.id,
        step.do.action,
        step.model_dump(mode="json"),
        render(step.do, facts) if done else {"skipped": "the alert's level or labels rule it out"},
    )


def _escalation(escalation: Escalation) -> FlatStep:
    notify = Notify(
        action="notify",
        url=escalation.url,
        headers=escalation.headers,
        receiver=escalation.receiver,
        text=escalation.text,
        timeout=timedelta(seconds=30),
        retries=ESCALATION_ATTEMPTS - 1,
    )
    return FlatStep(id=ESCALATION, whens=(), do=notify)
