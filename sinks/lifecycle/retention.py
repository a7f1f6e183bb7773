"""Decides what is past its retention: from the policy, the definitions and the parts there are. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.lifecycle import LifecyclePolicy, floor
from sinks.lifecycle.ports import Due, Part

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class KeptFor:
    """A metric with a retention of its own, and its series."""

    name: str
    days: int
    series: tuple[int, ...]

    def cutoff(self, now: datetime) -> datetime:
        """Samples of before go. A whole day: a bucket must not lose half of what it is made of."""
        return floor(now - timedelta(days=self.days), _DAY)


def expired(parts: Iterable[Part], policy: LifecyclePolicy, now: datetime) -> list[Part]:
    """Parts of which everything is older than their level's retention."""
    return [part for part in parts if part.end <= now - policy.keeping(part.level).retention]


def kept_longer(part: Part, metrics: Sequence[KeptFor], now: datetime) -> tuple[int, ...]:
    """Series whose definition keeps them in an expired part of samples."""
    return tuple(
        sorted(s for metric in metrics if metric.cutoff(now) < part.end for s in metric.series)
    )


def kept_shorter(
    metrics: Sequence[KeptFor], policy: LifecyclePolicy, now: datetime
) -> list[tuple[KeptFor, datetime]]:
    """Metrics that go before the settings say, and where what is kept of them begins."""
    return [
        (metric, metric.cutoff(now))
        for metric in metrics
        if timedelta(days=metric.days) < policy.raw.retention
    ]


def due(part: Part, policy: LifecyclePolicy) -> Due:
    """When a part goes."""
    return Due(part.level, part.name, part.end + policy.keeping(part.level).retention)
