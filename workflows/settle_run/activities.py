"""The steps of settling a run. Each may run again at any time."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import activity

from workflows.post_test.activities import still_behind
from workflows.settle_run.types import Position, Positions, SettleRun, Settling, Start, TopicEnds


class SettleRunActivities:
    """The steps over a store of runs and a broker."""

    def __init__(
        self, positions: Positions, settling: Settling, topic_ends: TopicEnds, start: Start
    ) -> None:
        self._positions = positions
        self._settling = settling
        self._topic_ends = topic_ends
        self._start = start

    @property
    def all(self) -> list[Callable[..., Awaitable[object]]]:
        """The steps, for a worker to serve."""
        return [self.topic_ends, self.await_positions, self.settle, self.start_post_test]

    @activity.defn
    async def topic_ends(self) -> list[Position]:
        """Say where the topic of samples ends."""
        return await self._topic_ends()

    @activity.defn
    async def await_positions(self, task: SettleRun, ends: list[Position]) -> None:
        """Succeed once ingest has stored all up to there; fail, to be tried again, until then."""
        last = {(end.topic, end.partition): end.last_offset for end in ends}
        still_behind(await self._positions.not_passed(last, task.consumer_group))

    @activity.defn
    async def settle(self, task: SettleRun) -> bool:
        """Close or open the run; return whether it is to be aggregated now."""
        return await self._settling.settle(task.execution_id, timedelta(seconds=task.grace))

    @activity.defn
    async def start_post_test(self, task: SettleRun) -> None:
        """Start the post-test."""
        await self._start(task.execution_id)
