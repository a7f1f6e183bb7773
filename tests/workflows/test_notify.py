"""The workflow of a group: when its receiver is told, over days that pass in milliseconds."""

import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from schemas.errors import Invalid, Temporary
from schemas.notifications import Grouping, Notifications, Receiver
from sinks.notifications import Change, Group, Member, Silence, Standing, Told
from tests.unit.workflows.test_notify_planning import TENANT, member, settings
from workflows.metrics import Metrics
from workflows.notify.activities import NotifyActivities
from workflows.notify.notices import Notice
from workflows.notify.types import NotifyGroup
from workflows.notify.workflow import NotifyWorkflow

pytestmark = pytest.mark.timeout(60)

QUEUE = "notify"
GROUPING = Grouping("ops", "k", {"alertname": "slow"}, 30.0, 300.0, 3600.0)
TASK = NotifyGroup(TENANT, "ops", "k", 30.0)


class MemoryNotifying:
    """One group in memory, and a receiver that notes what it is told and when, in seconds from the start."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.members: dict[str, Member] = {}
        self.silences: tuple[Silence, ...] = ()
        self.settings: Notifications | None = settings()
        self.failures: list[Exception] = []
        self.notices: list[tuple[int, list[str]]] = []
        self.began: datetime | None = None

    async def now(self) -> datetime:
        """The time that the server skips."""
        found = await self._environment.get_current_time()
        self.began = self.began or found
        return found

    async def put(self, *members: Member) -> None:
        """Alerts change."""
        now = await self.now()
        for one in members:
            told = self.members[one.alert].told if one.alert in self.members else None
            self.members[one.alert] = replace(one, updated_at=now, told=told)

    async def standing(self, group: Group) -> Standing:
        """What there is."""
        assert group == TASK.group
        now = await self.now()
        on = tuple(one for one in self.silences if one.expires_at > now)
        members = tuple(self.members.values())
        return Standing(now, self.settings, GROUPING if members else None, members, on, ())

    async def send(self, receiver: Receiver, notice: Notice) -> None:
        """Note a notice, or refuse it."""
        assert receiver.name == "ops"
        assert self.began is not None
        if self.failures:
            raise self.failures.pop(0)
        items = [f"{item.member.alert} {item.status}" for item in notice.items]
        self.notices.append((round((notice.now - self.began).total_seconds()), items))

    async def told(self, group: Group, members: Iterable[Member], at: datetime) -> None:
        """Note what it was told."""
        assert group == TASK.group
        for one in members:
            told = Told(one.episode, one.number, one.level, at)
            self.members[one.alert] = replace(self.members[one.alert], told=told)

    async def done(self, group: Group, changes: Sequence[Change]) -> None:
        """Take alerts out."""
        assert group == TASK.group
        for alert, _, _ in changes:
            del self.members[alert]

    async def dissolve(self, group: Group) -> None:
        """Forget it."""
        assert group == TASK.group
        self.members.clear()

    async def left(self, group: Group) -> bool:
        """Whether there is any."""
        assert group == TASK.group
        return bool(self.members)


Handle = WorkflowHandle[NotifyWorkflow, None]


@asynccontextmanager
async def notifying(
    environment: WorkflowEnvironment, *members: Member, task: NotifyGroup = TASK
) -> AsyncIterator[tuple[MemoryNotifying, Handle]]:
    """A worker, and the workflow of a group with these alerts."""
    memory = MemoryNotifying(environment)
    await memory.put(*members)
    activities = NotifyActivities(memory, memory, Metrics(CollectorRegistry()))
    async with Worker(
        environment.client,
        task_queue=QUEUE,
        workflows=[NotifyWorkflow],
        activities=activities.all,
    ):
        handle = await environment.client.start_workflow(
            NotifyWorkflow.run, task, id="notify", task_queue=QUEUE, start_signal="wake"
        )
        yield memory, handle


async def passes(environment: WorkflowEnvironment, seconds: float) -> None:
    """Time goes by."""
    await environment.sleep(timedelta(seconds=seconds))


def over(one: Member) -> Member:
    return replace(one, state="resolved")


A, B = member("a"), member("b")


async def test_a_group_waits_gathers_repeats_and_ends(time_skipping: WorkflowEnvironment) -> None:
    """group_wait before the first, group_interval between changes, repeat_interval without any."""
    async with notifying(time_skipping, A) as (memory, handle):
        await passes(time_skipping, 10)
        await memory.put(B)
        await handle.signal(NotifyWorkflow.wake)
        await passes(time_skipping, 50)
        assert memory.notices == [(30, ["a firing", "b firing"])]
        await memory.put(over(A))
        await handle.signal(NotifyWorkflow.wake)
        await passes(time_skipping, 3600 + 300)
        await memory.put(over(B))
        await handle.signal(NotifyWorkflow.wake)
        await handle.result()
    assert [items for _, items in memory.notices] == [
        ["a firing", "b firing"], ["a resolved", "b firing"], ["b firing"], ["b resolved"],
    ]  # fmt: skip
    times = [at for at, _ in memory.notices]
    assert [round(at / 30) for at in times[:3]] == [1, 11, 131]
    assert times[3] - times[2] >= 300


async def test_what_ends_within_the_wait_is_not_told(time_skipping: WorkflowEnvironment) -> None:
    """The workflow ends as well."""
    async with notifying(time_skipping, A) as (memory, handle):
        await memory.put(over(A))
        await handle.signal(NotifyWorkflow.wake)
        await handle.result()
    assert memory.notices == []


async def test_a_muted_alert_is_told_when_its_silence_ends(
    time_skipping: WorkflowEnvironment,
) -> None:
    """The first notification that was muted does not count as sent."""
    async with notifying(time_skipping, A) as (memory, handle):
        memory.silences = (Silence(("host=a",), await memory.now() + timedelta(seconds=1000)),)
        await passes(time_skipping, 990)
        assert memory.notices == []
        await passes(time_skipping, 20)
        assert [items for _, items in memory.notices] == [["a firing"]]
        memory.silences = (Silence(("host=a",), await memory.now() + timedelta(days=1)),)
        await memory.put(over(A))
        await handle.signal(NotifyWorkflow.wake)
        await handle.result()
    assert [items for _, items in memory.notices] == [["a firing"], ["a resolved"]]


async def test_a_receiver_that_is_away_hears_what_is_true_by_then(
    time_skipping: WorkflowEnvironment,
) -> None:
    """The attempts go on for as long as it takes, and tell no old news."""
    async with notifying(time_skipping, A) as (memory, handle):
        memory.failures = [Temporary("away")] * 3 + [Invalid("bad_url", "no URL")] * 2
        await passes(time_skipping, 35)
        await memory.put(B)
        await passes(time_skipping, 300)
        assert [items for _, items in memory.notices] == [["a firing", "b firing"]]
        memory.failures = [Temporary("away")] * 9
        await memory.put(over(A), over(B))
        await handle.signal(NotifyWorkflow.wake)
        await handle.result()
    assert [items for _, items in memory.notices][1:] == [["a resolved", "b resolved"]]


async def test_a_long_life_is_many_short_histories(time_skipping: WorkflowEnvironment) -> None:
    """A new run goes on where the one before it stopped, at the same pace."""
    async with notifying(time_skipping, A, task=replace(TASK, flushes=2)) as (memory, handle):
        await passes(time_skipping, 5 * 3600)
        await memory.put(over(A))
        await time_skipping.client.get_workflow_handle("notify").signal(NotifyWorkflow.wake)
        await handle.result()
        last = await time_skipping.client.get_workflow_handle("notify").describe()
    assert [items for _, items in memory.notices] == [["a firing"]] * 5 + [["a resolved"]]
    times = [at for at, _ in memory.notices[:5]]
    assert all(3600 <= b - a < 3660 for a, b in itertools.pairwise(times))
    assert last.run_id != handle.result_run_id


async def test_a_group_without_a_receiver_is_forgotten(
    time_skipping: WorkflowEnvironment,
) -> None:
    """Its document has changed: nobody is there to be told."""
    async with notifying(time_skipping, A) as (memory, handle):
        memory.settings = None
        await handle.result()
    assert (memory.notices, memory.members) == ([], {})
