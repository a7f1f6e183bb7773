"""The maintenance workflow and its schedules: order, patience, and what is told of them."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from schemas.errors import Temporary
from sinks.lifecycle.maintenance import Done, PartName
from sinks.lifecycle.ports import Progress
from workflows.maintenance.activities import MaintenanceActivities
from workflows.maintenance.schedule import ScheduleStanding, put_right, standing
from workflows.maintenance.types import FREQUENT, HOURLY, Outcome, Round
from workflows.maintenance.workflow import MaintenanceWorkflow
from workflows.metrics import Metrics

pytestmark = pytest.mark.timeout(120)

QUEUE = "maintenance-test"


class MemoryParts:
    """Parts that do nothing, fail as often as they are told to, and remember."""

    def __init__(self, **outages: int) -> None:
        self.calls: list[str] = []
        self.outages = Counter(outages)
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def run(self, part: PartName, progress: Progress) -> Done:
        """Pretend."""
        self.calls.append(part)
        progress("half of it")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.outages[part]:
            self.outages[part] -= 1
            raise Temporary("The database is away.")
        return Done(part, 3, f"{part} done")


@asynccontextmanager
async def worker(
    client: Client, parts: MemoryParts, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """A worker over the parts."""
    activities = MaintenanceActivities(parts, Metrics(registry)).all
    async with Worker(
        client, task_queue=QUEUE, workflows=[MaintenanceWorkflow], activities=activities
    ):
        yield


async def start(
    environment: WorkflowEnvironment, task: Round
) -> WorkflowHandle[MaintenanceWorkflow, Outcome]:
    """Start a round."""
    return await environment.client.start_workflow(
        MaintenanceWorkflow.run, task, id="round", task_queue=QUEUE
    )


async def test_a_round_runs_its_parts_in_order(time_skipping: WorkflowEnvironment) -> None:
    """Partitions are there before anything else, nothing is dropped that was not caught up with."""
    parts, registry = MemoryParts(), CollectorRegistry()
    async with worker(time_skipping.client, parts, registry):
        outcome = await (await start(time_skipping, HOURLY)).result()
    assert parts.calls == ["ensure", "catch up", "retain", "compact"]
    assert outcome == Outcome({part: f"{part} done" for part in parts.calls})
    assert registry.get_sample_value("headrace_maintenance_done_total", {"part": "retain"}) == 3
    assert registry.get_sample_value("headrace_maintenance_seconds_count", {"part": "retain"}) == 1


async def test_a_part_that_fails_once_is_tried_again(time_skipping: WorkflowEnvironment) -> None:
    """A cut connection costs a second attempt and no round."""
    parts, registry = MemoryParts(refresh=1), CollectorRegistry()
    async with worker(time_skipping.client, parts, registry):
        await (await start(time_skipping, FREQUENT)).result()
    assert parts.calls == ["refresh", "refresh", "forget", "runs"]
    failures = registry.get_sample_value("headrace_maintenance_failures_total", {"part": "refresh"})
    assert failures == 1


async def test_a_part_that_fails_keeps_no_other_from_running(
    time_skipping: WorkflowEnvironment,
) -> None:
    """The round goes on to its end, and then says what failed."""
    parts = MemoryParts(ensure=9, retain=9)
    async with worker(time_skipping.client, parts, CollectorRegistry()):
        with pytest.raises(WorkflowFailureError) as failure:
            await (await start(time_skipping, HOURLY)).result()
    assert parts.calls == ["ensure", "ensure", "catch up", "retain", "retain", "compact"]
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.message == "ensure: The database is away.; retain: The database is away."


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """A dev server of the test's own: the time-skipping one knows no schedules."""
    binary = str(Path(sys.executable).with_name("temporal"))
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary
    ) as environment:
        yield environment


async def told(client: Client, wanted: str) -> ScheduleStanding:
    """How the frequent schedule stands, once its last result begins with `wanted`."""
    async with asyncio.timeout(60):
        while True:
            found = {one.name: one for one in await standing(client, QUEUE)}
            if "maintenance" in found and found["maintenance"].last_result.startswith(wanted):
                return found["maintenance"]
            await asyncio.sleep(0.1)


async def test_schedules_are_made_once_and_follow_the_settings(server: WorkflowEnvironment) -> None:
    """However many workers start, there are two; a changed interval is taken over, a pause is kept."""
    await asyncio.gather(*(put_right(server.client, QUEUE, timedelta(minutes=1)) for _ in range(3)))
    handle = server.client.get_schedule_handle(f"{QUEUE}/maintenance")
    await handle.pause(note="looking at something")
    await put_right(server.client, QUEUE, timedelta(minutes=2))
    found = [one.id async for one in await server.client.list_schedules()]
    assert len(set(found)) == len(found) <= 2
    described = (await handle.describe()).schedule
    assert [interval.every for interval in described.spec.intervals] == [timedelta(minutes=2)]
    assert described.state.paused


async def test_what_is_told_of_a_schedule(server: WorkflowEnvironment) -> None:
    """When it ran, when it will, and what it failed with until it works again."""
    parts = MemoryParts(refresh=2)
    assert await standing(server.client, QUEUE) == []
    async with worker(server.client, parts, CollectorRegistry()):
        await put_right(server.client, QUEUE, timedelta(seconds=1))
        failed = await told(server.client, "failed")
        assert failed.last_result == "failed: refresh: The database is away."
        assert failed.last_run is not None
        worked = await told(server.client, "ok")
        assert worked.next_run is not None
        assert worked.last_run is not None
        assert worked.last_run > failed.last_run


async def test_a_round_is_skipped_while_one_runs_and_can_be_cancelled(
    server: WorkflowEnvironment,
) -> None:
    """A slow round is not joined by a second; cancelled, its part is told so and ends."""
    parts = MemoryParts()
    parts.gate.clear()
    async with worker(server.client, parts, CollectorRegistry()):
        await put_right(server.client, QUEUE, timedelta(seconds=1))
        handle = server.client.get_schedule_handle(f"{QUEUE}/maintenance")
        async with asyncio.timeout(60):
            while (info := (await handle.describe()).info).num_actions_skipped_overlap < 2:  # noqa: ASYNC110 # another process
                await asyncio.sleep(0.1)
        assert parts.calls.count("refresh") == 1
        [running] = info.running_actions
        assert isinstance(running, ScheduleActionExecutionStartWorkflow)
        await handle.pause()
        await server.client.get_workflow_handle(running.workflow_id).cancel()
        async with asyncio.timeout(60):
            while not parts.cancelled:  # noqa: ASYNC110 # comes with a heartbeat
                await asyncio.sleep(0.1)
    assert parts.calls.count("forget") == 0
