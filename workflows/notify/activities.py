"""The one activity of a group's workflow. It may run again at any time: what it did not note, it tells again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from schemas.errors import Invalid, Temporary
from workflows.heartbeats import beating
from workflows.metrics import Metrics
from workflows.notify.notices import Item, Notice
from workflows.notify.planning import plan
from workflows.notify.types import Delivering, Flushed, NotifyGroup, Notifying

_REFUSED_AGAIN = timedelta(minutes=1)
"""Until what only a change of the receiver mends is tried again."""


class NotifyActivities:
    """Flushing, over a store of notifications and the ways to receivers."""

    def __init__(self, notifying: Notifying, delivery: Delivering, metrics: Metrics) -> None:
        self._notifying = notifying
        self._delivery = delivery
        self._metrics = metrics

    @property
    def all(self) -> list[Callable[..., Awaitable[object]]]:
        """The activity, for a worker to serve."""
        return [self.flush]

    @activity.defn(name="notify_flush")
    async def flush(self, task: NotifyGroup) -> Flushed:
        """Tell the group's receiver what it does not know yet."""
        async with beating():
            return await self._flush(task)

    async def _flush(self, task: NotifyGroup) -> Flushed:
        group = task.group
        standing = await self._notifying.standing(group)
        receiver = standing.settings.receiver(group.receiver) if standing.settings else None
        if standing.grouping is None or receiver is None:
            await self._notifying.dissolve(group)
            left = await self._notifying.left(group)
            return Flushed(told=0, more=False, left=left, rest=task.wait, check_in=task.wait)
        # In a thread: what a tenant's expressions cost is no other tenant's time.
        planned = await asyncio.to_thread(plan, standing, receiver)
        if planned.tell:
            notice = Notice(
                group,
                standing.grouping.labels,
                tuple(map(Item, planned.tell)),
                planned.left_out,
                standing.now,
            )
            try:
                await self._delivery.send(receiver, notice)
            except (Invalid, Temporary) as error:
                self._metrics.notification_failures.labels(receiver.kind).inc()
                wait = None
                if isinstance(error, Invalid):
                    wait = _REFUSED_AGAIN
                elif error.retry_after > 1:
                    wait = min(timedelta(seconds=error.retry_after), timedelta(hours=1))
                # Without its cause, which may show what the text keeps to itself.
                raise ApplicationError(
                    f"Receiver {receiver.name} was not told: {error}", next_retry_delay=wait
                ) from None
            self._metrics.notifications.labels(receiver.kind).inc()
            await self._notifying.told(group, planned.tell, standing.now)
        ended = [one for one in planned.tell if not one.is_firing]
        changes = [(one.alert, one.episode, one.number) for one in (*planned.done, *ended)]
        if changes:
            await self._notifying.done(group, sorted(changes))
        self._metrics.notifications_given_up.inc(planned.given_up)
        return Flushed(
            told=len(planned.tell),
            more=planned.more,
            left=await self._notifying.left(group),
            # Who was told nothing need not be left alone.
            rest=standing.grouping.interval if planned.tell else standing.grouping.wait,
            check_in=None if planned.check_in is None else planned.check_in.total_seconds(),
        )
