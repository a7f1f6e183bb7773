"""A worker of remediations that is killed -9 right after one step has taken effect.

    python -m tests.chaos.dying_remedier DSN TEMPORAL QUEUE TENANT STEP

STEP names what is deadly: RemediationStore.open, Actions.perform, …
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from temporalio.client import Client

from sinks.database import connect_pool
from sinks.remediation_trail import RemediationTrail
from sinks.remediations import RemediationStore
from tests.remedies import Ward
from workflows.actions.actions import Actions

_CLASSES = {kind.__name__: kind for kind in (RemediationStore, RemediationTrail, Actions)}


def _make_deadly(step: str) -> None:
    kind, method = step.split(".")
    real: Callable[..., Awaitable[Any]] = getattr(_CLASSES[kind], method)

    async def die(*arguments: Any, **named: Any) -> None:
        await real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(_CLASSES[kind], method, die)


async def _run(dsn: str, temporal: str, queue: str, tenant: str, step: str) -> None:
    _make_deadly(step)
    pool = await connect_pool(dsn, role="headrace_writer", application="dying worker")
    client = await Client.connect(temporal)
    ward = Ward(dsn, pool, client, UUID(tenant), queue)
    async with ward.worker():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
