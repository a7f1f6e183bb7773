"""Starts the post-test workflow of a run: one at a time, however often it is asked to."""

from uuid import UUID

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from schemas.errors import Temporary
from workflows.post_test.types import PostTest
from workflows.post_test.workflow import PostTestWorkflow


def workflow_id(execution: UUID) -> str:
    """The workflow's id, by which people and tools find it."""
    return f"post-test/{execution}"


class PostTestStarter:
    """Starts post-test workflows on a task queue; `consumer_group` is ingest's."""

    def __init__(self, client: Client, task_queue: str, consumer_group: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._consumer_group = consumer_group

    async def start(self, execution: UUID) -> None:
        """Start, or do nothing while it runs. Raises Temporary while Temporal is away."""
        try:
            await self._client.start_workflow(
                PostTestWorkflow.run,
                PostTest(execution, self._consumer_group),
                id=workflow_id(execution),
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                # The run's state says whether there is anything to do: after a success only where a runner
                # that was missing came late, after a failure when the finished event is sent again. All
                # steps may be repeated.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
        except RPCError as error:
            raise Temporary(f"Temporal can't start a workflow: {error}") from error
