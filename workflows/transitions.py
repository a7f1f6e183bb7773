"""Takes alerts' transitions into the database, and hands each to who acts on it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from pydantic import ValidationError

from schemas.errors import Invalid
from schemas.transitions import Transition
from workflows.metrics import Metrics

GROUP = "headrace-alert-lifecycle"
"""Kafka group of the workers, after the topics' prefix."""

Handler: TypeAlias = Callable[[Transition], Awaitable[None]]
"""Acts on a transition that is recorded. It meets some again, and old ones after newer ones, so it does
each once by itself. Raises Temporary to be called again."""


class Recorder(Protocol):
    """Takes transitions into alerts; see `sinks.alerts.AlertStore.record`."""

    async def record(self, transition: Transition) -> None:
        """Take a transition into its alert, unless the alert is past it, and into the history."""
        ...


class Transitions:
    """What a `TopicLoop` does with transitions."""

    what = "transition"

    def __init__(self, alerts: Recorder, handlers: Sequence[Handler], metrics: Metrics) -> None:
        self._alerts = alerts
        self._handlers = handlers
        self._metrics = metrics

    async def take(self, value: bytes | None) -> None:
        """Handle a transition: the handlers hear of it only when it is in the database."""
        try:
            transition = Transition.model_validate_json(value or b"")
        except ValidationError as error:
            raise Invalid("bad_transition", str(error)) from error
        await self._alerts.record(transition)
        for handle in self._handlers:
            await handle(transition)
        self._metrics.transitions.labels(transition.state).inc()

    def buried(self, reason: str) -> None:
        """Count a dead letter."""
        self._metrics.transitions_dead_lettered.labels(reason).inc()
