"""Puts alerts into the groups that their routes say, and wakes the groups' workflows."""

import asyncio
import logging
from uuid import UUID

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from schemas.errors import Temporary
from schemas.notifications import Notifications, told_labels
from schemas.transitions import Transition, alert_id
from sinks.notifications import Group, NotificationStore, Woken
from workflows.notify.types import NotifyGroup
from workflows.notify.workflow import NotifyWorkflow

_log = logging.getLogger(__name__)


def workflow_id(group: Group) -> str:
    """The workflow's id, by which people and tools find it."""
    return f"notify/{group.tenant}/{group.receiver}/{group.key}"


class Notifier:
    """Hears of transitions, and of documents that change."""

    def __init__(self, client: Client, task_queue: str, store: NotificationStore) -> None:
        self._client = client
        self._task_queue = task_queue
        self._store = store
        self._routed: dict[UUID, int] = {}

    async def handle(self, transition: Transition) -> None:
        """Tell of a recorded transition what its routes say. Raises Temporary for what is away."""
        if transition.state in {"firing", "resolved"}:
            it = transition
            alert = alert_id(it.tenant_id, it.rule, it.fingerprint)
            await self._enrol(alert, await self._store.settings(it.tenant_id))
            for woken in await self._store.groups_of(alert):
                await self._wake(woken)

    async def follow(self, every: float) -> None:
        """Route again what fires whenever a tenant's document has changed, and at the start. For ever."""
        while True:
            try:
                await self.route_again()
            except Temporary as error:
                _log.warning("Routes are looked at again in %.0f s: %s", every, error)
            await asyncio.sleep(every)

    async def route_again(self) -> None:
        """Route what fires of tenants whose documents changed since this was last called."""
        for tenant, version in (await self._store.versions()).items():
            if self._routed.get(tenant) == version:
                continue
            settings = await self._store.settings(tenant)
            for alert in await self._store.firing(tenant):
                await self._enrol(alert, settings)
            for woken in await self._store.groups(tenant):
                await self._wake(woken)
            self._routed[tenant] = version

    async def _enrol(self, alert: str, settings: Notifications | None) -> None:
        """By what the alert is now: the transition at hand may be an old one."""
        found = await self._store.find(alert)
        if found is None or settings is None:
            return
        tenant, now, fires = found
        if fires:
            labels = told_labels(now.rule, now.level, now.labels)
            await self._store.enrol(tenant, alert, list(settings.groups(labels)))

    async def _wake(self, woken: Woken) -> None:
        group = woken.group
        try:
            await self._client.start_workflow(
                NotifyWorkflow.run,
                NotifyGroup(group.tenant, group.receiver, group.key, woken.grouping.wait),
                id=workflow_id(group),
                task_queue=self._task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                start_signal="wake",
            )
        except RPCError as error:
            raise Temporary(f"Temporal can't wake a workflow: {error}") from error
