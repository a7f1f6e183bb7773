"""Looks for runs to settle, and starts a workflow for each: one at a time a run."""

from datetime import timedelta
from uuid import UUID

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from schemas.errors import Temporary
from sinks.run_upkeep import RunUpkeep
from workflows.settle_run.types import SettleRun
from workflows.settle_run.workflow import SettleRunWorkflow


def workflow_id(execution: UUID) -> str:
    """The workflow's id, by which people and tools find it."""
    return f"settle-run/{execution}"


class Settler:
    """The part "runs" of maintenance: settles runs, and deletes raw points that were kept long enough."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        consumer_group: str,
        upkeep: RunUpkeep,
        *,
        grace: timedelta,
        keep: timedelta,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._consumer_group = consumer_group
        self._upkeep = upkeep
        self._grace = grace
        self._keep = keep

    async def run(self) -> tuple[int, str]:
        """Do both; return how much, as a number and in words. Raises Temporary for what is away."""
        unsettled = await self._upkeep.unsettled(self._grace)
        for execution in unsettled:
            await self._start(execution)
        dropped = await self._upkeep.drop_kept(self._keep)
        return len(unsettled) + dropped, (
            f"{len(unsettled)} to settle, raw points of {dropped} deleted"
        )

    async def _start(self, execution: UUID) -> None:
        try:
            await self._client.start_workflow(
                SettleRunWorkflow.run,
                SettleRun(execution, self._consumer_group, self._grace.total_seconds()),
                id=workflow_id(execution),
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
        except RPCError as error:
            raise Temporary(f"Temporal can't start a workflow: {error}") from error
