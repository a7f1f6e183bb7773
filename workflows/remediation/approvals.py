"""Carries an approver's word to the workflow that waits for it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from temporalio.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from schemas.errors import Invalid, Temporary
from workflows.remediation.start import workflow_id
from workflows.remediation.types import Decision
from workflows.remediation.workflow import RemediationWorkflow

_PATIENCE = timedelta(seconds=10)


class Approvals:
    """Over Temporal, connected to when it is needed."""

    def __init__(self, connect: Callable[[], Awaitable[Client]]) -> None:
        self._connect = connect
        self._client: Client | None = None

    async def decide(
        self,
        tenant: UUID,
        rule: str,
        fingerprint: str,
        remediation: UUID,
        *,
        approved: bool,
        who: str,
        why: str,
    ) -> None:
        """Return once it is decided.

        Raises Invalid when nobody waits for it, it comes too late or remediation is paused; Temporary when
        Temporal is away or no worker answers: it may be said again.
        """
        try:
            client = self._client or await self._connect()
        except RuntimeError as error:  # the SDK's, for a server that is away
            raise Temporary("Temporal can't be reached to approve or reject.") from error
        self._client = client
        decision = Decision(remediation, approved, who, why)
        handle = client.get_workflow_handle(workflow_id(tenant, rule, fingerprint))
        update = RemediationWorkflow.approve if approved else RemediationWorkflow.reject
        try:
            await handle.execute_update(update, decision, rpc_timeout=_PATIENCE)
        except WorkflowUpdateFailedError as error:
            raise Invalid("not_decided", _innermost(error)) from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise Temporary("No worker has answered yet: say it again.") from error
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise Invalid(
                    "not_decided", "Nobody works on it any more: look at its state."
                ) from error
            raise Temporary(f"Temporal can't be asked: {error.status.name}") from error


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "message", error))
