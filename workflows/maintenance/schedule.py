"""The schedules of maintenance: made or put right by every worker that starts, and what is told of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from workflows.maintenance.types import FREQUENT, HOURLY, Round
from workflows.maintenance.workflow import MaintenanceWorkflow

NAMES = ("maintenance", "maintenance-hourly")
_HOUR = timedelta(hours=1)
_SHORTEST_CATCHUP = timedelta(seconds=10)
"""The least that Temporal accepts."""


@dataclass(frozen=True)
class ScheduleStanding:
    """When a schedule's last round began and the next will, and what the last failed with."""

    name: str
    last_run: datetime | None
    last_result: str
    next_run: datetime | None


def schedule_id(name: str, task_queue: str) -> str:
    """The schedule's id; installations that share a namespace differ in their task queues."""
    return f"{task_queue}/{name}"


async def put_right(client: Client, task_queue: str, interval: timedelta) -> None:
    """Make the schedules, or give those that are there the interval of the settings. Safe to repeat."""
    for name, task, every in zip(NAMES, (FREQUENT, HOURLY), (interval, _HOUR), strict=True):
        wanted = _schedule(name, task, task_queue, every)
        try:
            await client.create_schedule(
                schedule_id(name, task_queue), wanted, trigger_immediately=True
            )
        except ScheduleAlreadyRunningError:
            handle = client.get_schedule_handle(schedule_id(name, task_queue))
            await handle.update(_updater(wanted))


async def standing(client: Client, task_queue: str) -> list[ScheduleStanding]:
    """How the schedules stand; those that no worker has made yet are left out."""
    found = []
    for name in NAMES:
        try:
            info = (await client.get_schedule_handle(schedule_id(name, task_queue)).describe()).info
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            continue
        last = info.recent_actions[-1] if info.recent_actions else None
        result = "none yet" if last is None else await _result(client, last.action)
        found.append(
            ScheduleStanding(
                name,
                last.started_at if last else None,
                result,
                next(iter(info.next_action_times), None),
            )
        )
    return found


def _schedule(name: str, task: Round, task_queue: str, every: timedelta) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            MaintenanceWorkflow.run, task, id=schedule_id(name, task_queue), task_queue=task_queue
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        # What a round leaves undone, the next does: rounds that were missed are not made up for.
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=max(every, _SHORTEST_CATCHUP)
        ),
    )


async def _result(client: Client, action: object) -> str:
    if not isinstance(action, ScheduleActionExecutionStartWorkflow):
        return "unknown"
    handle = client.get_workflow_handle(action.workflow_id, run_id=action.first_execution_run_id)
    try:
        status = (await handle.describe()).status
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return "forgotten"
        raise
    if status == WorkflowExecutionStatus.COMPLETED:
        return "ok"
    if status == WorkflowExecutionStatus.FAILED:
        try:
            await handle.result()
        except WorkflowFailureError as error:
            cause = error.cause
            return f"failed: {cause.message if isinstance(cause, FailureError) else cause}"
    return str(status.name if status else "unknown").lower()


def _updater(wanted: Schedule) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
        # Whoever paused it, had a reason.
        wanted.state = found.description.schedule.state
        return ScheduleUpdate(wanted)

    return update
