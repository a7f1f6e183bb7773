"""A worker that is killed -9 right after one step has taken effect, before Temporal hears of it.

    python -m tests.chaos.dying_worker DSN TEMPORAL QUEUE STEP

STEP names a method of the store of runs.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.worker import Worker

from sinks.database import connect_pool
from sinks.runs import RunStore
from workflows.metrics import Metrics
from workflows.post_test.activities import PostTestActivities
from workflows.post_test.workflow import PostTestWorkflow


class DyingStore(RunStore):
    """The real store, deadly at one method."""

    deadly = ""

    def __getattribute__(self, name: str) -> Any:
        """Return the attribute; the deadly one kills the process when it is done."""
        found = super().__getattribute__(name)
        return _then_die(found) if name == DyingStore.deadly else found


def _then_die(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def die(*arguments: Any) -> Any:
        await step(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


async def _run(dsn: str, temporal: str, queue: str, step: str) -> None:
    DyingStore.deadly = step
    pool = await connect_pool(dsn, role="headrace_writer", application="dying worker")
    steps = PostTestActivities(DyingStore(pool), Metrics(CollectorRegistry()))
    client = await Client.connect(temporal)
    async with Worker(client, task_queue=queue, workflows=[PostTestWorkflow], activities=steps.all):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
