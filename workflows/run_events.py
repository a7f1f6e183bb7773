"""Takes run events into their runs; the last finished one starts the post-test."""

from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

from pydantic import ValidationError

from schemas.errors import Invalid
from schemas.runs import RUN_EVENT, RunEvent
from sinks.run_states import State
from workflows.metrics import Metrics

GROUP = "headrace-runs"
"""Kafka group of the workers, after the topics' prefix."""


class Recorder(Protocol):
    """Takes events into runs; see `sinks.runs.RunStore.record`."""

    async def record(self, event: RunEvent) -> State:
        """Take an event into its run and return the state that follows."""
        ...


class RunEvents:
    """What a `TopicLoop` does with run events."""

    what = "run event"

    def __init__(
        self,
        runs: Recorder,
        start_post_test: Callable[[UUID], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self._runs = runs
        self._start_post_test = start_post_test
        self._metrics = metrics

    async def take(self, value: bytes | None) -> None:
        """Handle an event."""
        try:
            event = RUN_EVENT.validate_json(value or b"")
        except ValidationError as error:
            raise Invalid("bad_run_event", str(error)) from error
        if await self._runs.record(event) == "aggregating":
            await self._start_post_test(event.execution_id)
            self._metrics.workflows_started.inc()
        self._metrics.events.labels(event.event).inc()

    def buried(self, reason: str) -> None:
        """Count a dead letter."""
        self._metrics.events_dead_lettered.labels(reason).inc()
