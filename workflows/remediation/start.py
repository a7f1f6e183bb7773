"""Starts remediation when an alert fires, and tells it when the alert has resolved; however often it is asked."""

from uuid import UUID

from temporalio.client import Client
from temporalio.common import TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from schemas.errors import Temporary
from schemas.transitions import Transition
from sinks.guards import Limits
from sinks.remediations import Incident, Plan, RemediationStore
from workflows.remediation.attributes import attributes
from workflows.remediation.planning import incident_of
from workflows.remediation.types import Alert, Change, Leveled
from workflows.remediation.workflow import RemediationWorkflow

_LARGEST = 256 * 1024
"""Bytes of a transition that goes into a history: Temporal refuses more than 2 MiB, and warns before."""
_SHOWN = 200
"""Characters of each text that is kept of an alert whose labels are too large."""


def workflow_id(tenant_id: UUID, rule: str, fingerprint: str) -> str:
    """The workflow's id, by which people and tools find it."""
    return f"remediation/{tenant_id}/{rule}/{fingerprint}"


class RemediationStarter:
    """Starts workflows on a task queue; `searchable`: the search attributes are there."""

    def __init__(
        self, client: Client, task_queue: str, store: RemediationStore, *, searchable: bool
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._store = store
        self._searchable = searchable

    async def handle(self, transition: Transition) -> None:
        """Take a transition into account; safe to repeat, in any order. Raises Temporary for what is away.

        A stale one starts nothing: what was wrong hours ago is not acted on now. That an alert resolved
        is told however old it is.
        """
        if transition.state == "resolved":
            await self._resolve(transition)
        elif transition.state == "firing":
            if transition.was == "firing":
                await self._level(transition)
            remediation = transition.remediation if not transition.stale else None
            if remediation is not None and transition.level in remediation.levels:
                await self._start(transition)

    async def _start(self, transition: Transition) -> None:
        if len(transition.model_dump_json()) > _LARGEST:
            await self._refuse(transition)
            return
        change = Change(
            transition.episode.isoformat(), True, transition.model_dump(mode="json", by_alias=True)
        )
        try:
            # In one step: a workflow that is there hears of it, one that is not is there afterwards.
            await self._client.start_workflow(
                RemediationWorkflow.run,
                Alert(transition.tenant_id, transition.rule, transition.fingerprint),
                id=_id(transition),
                task_queue=self._task_queue,
                start_signal="changed",
                start_signal_args=[change],
                # The database says which incidents were remedied: one that comes again ends at once.
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=(
                    attributes(transition) if self._searchable else TypedSearchAttributes.empty
                ),
            )
        except RPCError as error:
            raise Temporary(f"Temporal can't start a remediation: {error}") from error

    async def _resolve(self, transition: Transition) -> None:
        await self._tell(transition, "changed", Change(transition.episode.isoformat(), False))

    async def _level(self, transition: Transition) -> None:
        """However old, and though the level is none that is remedied: people look for what is in hand by it."""
        leveled = Leveled(transition.episode.isoformat(), transition.number, transition.level)
        await self._tell(transition, "leveled", leveled)

    async def _tell(self, transition: Transition, signal: str, news: Change | Leveled) -> None:
        handle = self._client.get_workflow_handle(_id(transition))
        try:
            await handle.signal(signal, news)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:  # most alerts are not being remedied
                raise Temporary(f"Temporal can't tell a remediation: {error}") from error

    async def _refuse(self, transition: Transition) -> None:
        """Write down that nothing is done, with as much of the alert as people can read."""
        whole = incident_of(transition)
        incident = Incident(
            **{
                **vars(whole),
                "labels": {name[:_SHOWN]: value[:_SHOWN] for name, value in whole.labels.items()},
                "told": {**whole.told, "annotations": {}},
            }
        )
        remediation = transition.remediation
        if remediation is None:
            return
        plan = Plan(
            playbook=remediation.playbook,
            version=None,
            steps=[],
            limits=Limits(remediation.cooldown, remediation.max_per_hour, 1),
            approval_expires=None,
            dry_run=remediation.dry_run,
            refused=f"its labels and annotations are larger than {_LARGEST} bytes",
        )
        await self._store.open(incident, plan, owner="")


def _id(transition: Transition) -> str:
    return workflow_id(transition.tenant_id, transition.rule, transition.fingerprint)
