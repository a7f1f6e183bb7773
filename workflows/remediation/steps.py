"""Carries out the steps of a remediation in their order, and undoes them when one fails."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.remediation.activities import RemediationActivities as Do
    from workflows.remediation.course import SHORT, Course
    from workflows.remediation.types import Note, Remedy, StepPlan, StepResult, StepTask


async def do_steps(course: Course, remedy: Remedy) -> None:
    """Do all that are left; afterwards it is being verified, or has ended."""
    while remedy.next < len(remedy.steps):
        await course.continue_if_long()
        if course.cancelled(remedy):
            await _stop(course, remedy)
            return
        step = remedy.steps[remedy.next]
        course.step = step.id
        result = await _do(course, remedy, step)
        course.step = None
        remedy.outcomes[step.id] = result.came
        remedy.next += 1
        if result.came == "stopped":
            await course.escalate(remedy, f"stopped before step {step.id}: {result.told}")
            return
        if result.came == "failed" and not step.goes_on:
            undone = await _undo(course, remedy)
            await course.escalate(remedy, f"step {step.id} failed: {result.told}{undone}")
            return
    await course.go_on(remedy, "verifying")


async def _do(course: Course, remedy: Remedy, step: StepPlan) -> StepResult:
    """Do a step, or see that it is not to be done."""
    task = StepTask(remedy.remediation_id, "step", step.id, course.owner)
    if step.skipped or any(remedy.outcomes.get(one) != came for one, came in step.after):
        why = "the alert's level or labels" if step.skipped else "what came of an earlier step"
        note = Note(task, step.action, "skipped", f"ruled out by {why}")
        await workflow.execute_activity_method(Do.note, note, **SHORT)
        return StepResult("skipped")
    if step.action == "wait":
        told = await _wait(course, remedy, step.seconds)
        note = Note(task, step.action, "succeeded", told)
        await workflow.execute_activity_method(Do.note, note, **SHORT)
        return StepResult("succeeded")
    return await course.attempts(remedy, task.kind, step.id, step.seconds, step.attempts)


async def _wait(course: Course, remedy: Remedy, seconds: float) -> str:
    try:
        await workflow.wait_condition(lambda: course.cancelled(remedy), timeout=seconds)
    except TimeoutError:
        return f"waited {seconds:g} s"
    return "the alert resolved meanwhile"


async def _undo(course: Course, remedy: Remedy) -> str:
    """Undo what succeeded, the last first; return what is to be said of it."""
    failed = []
    done = [
        step
        for step in remedy.steps[: remedy.next]
        if step.undo_seconds is not None and remedy.outcomes.get(step.id) == "succeeded"
    ]
    for step in reversed(done):
        result = await course.attempts(
            remedy, "undo", step.id, step.undo_seconds or 0.0, step.undo_attempts
        )
        if result.came != "succeeded":
            failed.append(step.id)
    return f"; {', '.join(failed)} could not be undone" if failed else ""


async def _stop(course: Course, remedy: Remedy) -> None:
    """The alert resolved before all was done."""
    done = [name for name, came in remedy.outcomes.items() if came == "succeeded"]
    if done:
        await course.end(remedy, "succeeded", f"the alert resolved after step {done[-1]}")
    else:
        await course.end(remedy, "cancelled", "the alert resolved before anything was done")
