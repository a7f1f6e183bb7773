"""The workflow that settles a run: silence counts only once ingest has stored all that there was."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from schemas.errors import Temporary
from sinks.runs import Behind
from tests.workflows.memory_runs import EXECUTION
from workflows.settle_run.activities import SettleRunActivities
from workflows.settle_run.types import Position, SettleRun
from workflows.settle_run.workflow import SettleRunWorkflow

pytestmark = pytest.mark.timeout(60)

QUEUE = "settle-run"


class MemoryUpkeep:
    """A topic that ends at record 9, ingest that is behind for a while, and a run that is silent or not."""

    def __init__(self, *, silent: bool = True, behind_for: int = 0, outages: int = 0) -> None:
        self.silent = silent
        self.behind_for = behind_for
        self.outages = outages
        self.calls: list[str] = []

    async def topic_ends(self) -> list[Position]:
        """Say where it ends."""
        self._call("ends")
        return [Position("samples", 0, 9)]

    async def not_passed(
        self, last: Mapping[tuple[str, int], int], consumer_group: str
    ) -> list[Behind]:
        """Be behind for a while."""
        assert (last, consumer_group) == ({("samples", 0): 9}, "ingest")
        self._call("behind")
        self.behind_for -= 1
        return [Behind("samples", 0, 3)] if self.behind_for >= 0 else []

    async def settle(self, execution: UUID, grace: timedelta) -> bool:
        """Settle it, if nothing was heard of it."""
        assert (execution, grace) == (EXECUTION, timedelta(minutes=10))
        self._call("settle")
        return self.silent

    async def start(self, execution: UUID) -> None:
        """Start its post-test."""
        assert execution == EXECUTION
        self._call("start")

    def _call(self, step: str) -> None:
        self.calls.append(step)
        if self.outages:
            self.outages -= 1
            raise Temporary("It is away.")


@asynccontextmanager
async def settling(
    environment: WorkflowEnvironment, upkeep: MemoryUpkeep
) -> AsyncIterator[WorkflowHandle[SettleRunWorkflow, bool]]:
    """A worker over `upkeep`, and the workflow."""
    steps = SettleRunActivities(upkeep, upkeep, upkeep.topic_ends, upkeep.start)
    async with Worker(
        environment.client, task_queue=QUEUE, workflows=[SettleRunWorkflow], activities=steps.all
    ):
        yield await environment.client.start_workflow(
            SettleRunWorkflow.run,
            SettleRun(EXECUTION, "ingest", 600),
            id="settle",
            task_queue=QUEUE,
        )


async def test_a_silent_run_is_settled_and_its_post_test_started(
    time_skipping: WorkflowEnvironment,
) -> None:
    """In this order; each step outlives an outage."""
    upkeep = MemoryUpkeep(outages=5)
    async with settling(time_skipping, upkeep) as handle:
        assert await handle.result()
    assert upkeep.calls == [*["ends"] * 6, "behind", "settle", "start"]


async def test_ingest_that_is_behind_makes_no_run_silent(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Hours pass, then the points are stored that were there: the run goes on, and nothing is started."""
    upkeep = MemoryUpkeep(silent=False, behind_for=400)
    async with settling(time_skipping, upkeep) as handle:
        assert not await handle.result()
    assert upkeep.calls == ["ends", *["behind"] * 401, "settle"]
