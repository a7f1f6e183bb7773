"""A worker: what runs workflows, and takes run events and transitions of alerts from Kafka."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import asyncpg
from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from deploy import worker_parts as parts
from deploy.cli.context import Endpoints, topics
from schemas.errors import HeadraceError, Permanent
from schemas.settings import Settings
from sinks.database import Role, connect_pool
from sinks.lifecycle.maintenance import Maintenance, open_lifecycle
from sinks.remediations import RemediationStore
from sinks.runs import RunStore
from sinks.standing import StandingStore
from workflows import run_events, transitions
from workflows.maintenance.activities import MaintenanceActivities
from workflows.maintenance.schedule import put_right
from workflows.maintenance.workflow import MaintenanceWorkflow
from workflows.metrics import Metrics
from workflows.notify.activities import NotifyActivities
from workflows.notify.start import Notifier
from workflows.notify.workflow import NotifyWorkflow
from workflows.post_test.activities import PostTestActivities
from workflows.post_test.start import PostTestStarter
from workflows.post_test.workflow import PostTestWorkflow
from workflows.remediation import attributes
from workflows.remediation.start import RemediationStarter
from workflows.remediation.workflow import RemediationWorkflow
from workflows.settle_run.activities import SettleRunActivities
from workflows.settle_run.ends import topic_ends
from workflows.settle_run.start import Settler
from workflows.settle_run.workflow import SettleRunWorkflow
from workflows.standing import show_standing
from workflows.topic_loop import TopicLoop

TASK_QUEUE = "headrace"
"""Temporal task queue, after the topics' prefix as everything that installations may share."""

_ACTIVITIES = 4
"""At once: each may be a statement that keeps one of the database's processors busy."""
_NOTIFY = ".notify"
"""Ends the task queue of notifications: receivers that don't answer hold up nothing else."""
_NOTICES = 20
_FOLLOW_EVERY = 5.0
"""Seconds until a document of notifications that was applied is heeded."""
_FINISH_WITHIN = timedelta(seconds=4)
"""For steps in hand at a stop; what takes longer is cancelled and done again by the next worker."""
_LEAVE_WITHIN = _FINISH_WITHIN.total_seconds() + 2
"""Seconds from a stop to the end, also when Temporal doesn't hear of the steps."""
_PAUSE = 2.0

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class WorkerProcess:
    """The parts of a worker, made as soon as what they need is there."""

    def __init__(self, settings: Settings, endpoints: Endpoints) -> None:
        self.registry = CollectorRegistry()
        self._settings = settings
        self._endpoints = endpoints
        self._metrics = Metrics(self.registry)
        self._runs: RunStore | None = None
        self._client: Client | None = None
        self._loops: list[TopicLoop] = []

    async def run(self) -> None:
        """Work until cancelled. Raises Permanent for what only a person can mend."""
        # Notices wait for receivers, not for the database; one more each for topics, routes and the probe.
        pool = await self._connect_database("headrace_writer", _ACTIVITIES + 8)
        # The rounds of both schedules at once, what each records of itself, and a look at both.
        owners = await self._connect_database("headrace_owner", 5)
        try:
            stores = parts.Stores(pool)
            self._runs = stores.runs
            await _persist("the database", self._runs.check)
            await _persist("the database", stores.alerts.check)
            self._client = await _persist("Temporal", self._connect_temporal)
            showing = asyncio.create_task(show_standing(StandingStore(owners).read, self._metrics))
            try:
                await self._work(stores, pool, self._client, owners)
            finally:
                showing.cancel()
        finally:
            self._runs = None
            # Closing waits for statements in hand; their transactions roll back when cut off.
            pool.terminate()
            owners.terminate()

    async def ready(self) -> dict[str, bool]:
        """What readiness depends on."""
        return {
            "database": self._runs is not None and await _passes(self._runs.check()),
            "temporal": self._client is not None and await _passes(_check(self._client)),
            "kafka": bool(self._loops) and all(loop.consuming for loop in self._loops),
        }

    async def _work(
        self,
        stores: parts.Stores,
        pool: "asyncpg.Pool[asyncpg.Record]",
        client: Client,
        owners: "asyncpg.Pool[asyncpg.Record]",
    ) -> None:
        names = topics(self._settings)
        steps = PostTestActivities(stores.runs, self._metrics)
        queue = names.prefix + TASK_QUEUE
        lifecycle = await _persist(
            "the database", lambda: open_lifecycle(owners, self._settings.lifecycle)
        )
        starter = PostTestStarter(client, queue, self._settings.consumer_group)
        settler = Settler(
            client,
            queue,
            self._settings.consumer_group,
            stores.upkeep,
            grace=self._settings.run_grace,
            keep=self._settings.raw_retention,
        )
        maintenance = Maintenance(owners, lifecycle, lambda: datetime.now(UTC), settler.run)
        settling = SettleRunActivities(
            stores.runs,
            stores.upkeep,
            lambda: topic_ends(self._endpoints.kafka, names.samples),
            starter.start,
        )
        await _persist(
            "Temporal", lambda: put_right(client, queue, self._settings.maintenance_interval)
        )
        searchable = await _persist("Temporal", lambda: attributes.put_right(client))
        delivery = parts.delivery(self._settings)
        remediation = parts.remediation(self._settings, pool, delivery, self._metrics)
        remediator = RemediationStarter(
            client, queue, RemediationStore(pool), searchable=searchable
        )
        notifier = Notifier(client, queue + _NOTIFY, stores.notifications)
        self._loops = [
            TopicLoop(
                parts.source(self._endpoints.kafka, names, names.run_events, run_events.GROUP),
                run_events.RunEvents(stores.runs, starter.start, self._metrics),
            ),
            TopicLoop(
                parts.source(self._endpoints.kafka, names, names.transitions, transitions.GROUP),
                transitions.Transitions(
                    stores.alerts, [notifier.handle, remediator.handle], self._metrics
                ),
            ),
        ]
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[
                PostTestWorkflow,
                SettleRunWorkflow,
                MaintenanceWorkflow,
                RemediationWorkflow,
            ],
            activities=[
                *steps.all,
                *settling.all,
                *remediation.all,
                *MaintenanceActivities(maintenance, self._metrics).all,
            ],
            max_concurrent_activities=_ACTIVITIES,
            graceful_shutdown_timeout=_FINISH_WITHIN,
        )
        notices = Worker(
            client,
            task_queue=queue + _NOTIFY,
            workflows=[NotifyWorkflow],
            activities=NotifyActivities(stores.notifications, delivery, self._metrics).all,
            max_concurrent_activities=_NOTICES,
            graceful_shutdown_timeout=_FINISH_WITHIN,
        )
        await _together(
            worker.run(),
            notices.run(),
            *(loop.run() for loop in self._loops),
            notifier.follow(_FOLLOW_EVERY),
        )

    async def _connect_database(self, role: Role, max_size: int) -> "asyncpg.Pool[asyncpg.Record]":
        return await _persist(
            "the database",
            lambda: connect_pool(
                self._endpoints.database, role=role, application="worker", max_size=max_size
            ),
        )

    async def _connect_temporal(self) -> Client:
        return await Client.connect(
            self._endpoints.temporal, namespace=self._settings.temporal_namespace
        )


async def _together(*parts: Coroutine[None, None, None]) -> None:
    """Run all until one fails or this is cancelled; then stop all, and leave behind what does not stop in time.

    The SDK repeats what it cannot tell Temporal for up to a minute, and its workers don't end before.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=_LEAVE_WITHIN)
        if late:
            _log.warning(
                "Left before Temporal heard of the steps in hand: other workers do them again."
            )


async def _persist(what: str, connect: Callable[[], Awaitable[_T]]) -> _T:
    """Connect, trying for as long as it takes. Raises Permanent at once."""
    while True:
        try:
            return await connect()
        except Permanent:
            raise
        except Exception as error:  # noqa: BLE001 - the SDK raises bare RuntimeError for a server that is away
            _log.warning("Waiting for %s, next attempt in %.0f s: %s", what, _PAUSE, error)
            await asyncio.sleep(_PAUSE)


async def _check(client: Client) -> None:
    await client.service_client.check_health(timeout=timedelta(seconds=2))


async def _passes(check: Awaitable[None]) -> bool:
    try:
        await check
    except (HeadraceError, RPCError):
        return False
    return True
