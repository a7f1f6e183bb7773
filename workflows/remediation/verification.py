"""Finds out whether the alert cleared: waits to be told, and asks before it says that it did not."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.remediation.activities import RemediationActivities as Do
    from workflows.remediation.course import SHORT, Course
    from workflows.remediation.types import Question, Remedy

_ASK = "ask-before-escalating"


async def verify(course: Course, remedy: Remedy) -> None:
    """Wait for the alert to resolve, as long as the rule says; then ask, and end it by the answer."""
    if remedy.verify_until is None:
        remedy.verify_until = workflow.now() + timedelta(seconds=remedy.verify_seconds)
    while not course.over(remedy):
        await course.continue_if_long()
        left = remedy.verify_until - workflow.now()
        if left <= timedelta(0):
            break
        try:
            await workflow.wait_condition(
                lambda: course.over(remedy) or course.is_long, timeout=left
            )
        except TimeoutError:
            break
    if course.over(remedy):
        await course.end(remedy, "succeeded", "the alert resolved")
        return
    told = await cleared(course, remedy)
    if told is not None:
        await course.end(remedy, "succeeded", told)
    else:
        await course.escalate(
            remedy, f"the alert has not resolved {remedy.verify_seconds:g} s after the last step"
        )


async def cleared(course: Course, remedy: Remedy) -> str | None:
    """Ask whether the alert cleared though nobody told us; say how, or None when it did not."""
    if not workflow.patched(_ASK):
        return None
    question = Question(remedy.remediation_id)
    answer = await workflow.execute_activity_method(Do.ask, question, **SHORT)
    if answer.cleared:
        return f"the alert resolved: {answer.told}"
    return "the alert resolved" if course.over(remedy) else None
