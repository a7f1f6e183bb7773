"""Says which series rules watch, from the rules alone."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from schemas.watched import WatchedSeries, entry, partition_of
from schemas.watched_rows import Part

Labels = Mapping[str, str]
Match = Callable[[Sequence[Labels]], Sequence[bool]]
"""Whether each of these label sets is one that a rule's matchers match."""


class Watch(NamedTuple):
    """What happens to the samples of a watched series."""

    series_id: int
    entry: bytes
    """The series as a record's dictionary has it."""
    partition: int
    """Of the watched topic."""
    keep: bool
    """Whether its values are kept, for a percentile."""


class WatchedRule(NamedTuple):
    """A rule, as far as it decides what is watched."""

    tenant_id: UUID
    metric: str
    match: Match
    parts: Collection[Part]
    """Of its samples what the rule is made of."""


class Watchlist:
    """The series that a set of rules watches."""

    def __init__(self, rules: Collection[WatchedRule], partitions: int) -> None:
        self._rules: defaultdict[tuple[UUID, str], list[WatchedRule]] = defaultdict(list)
        for rule in rules:
            self._rules[rule.tenant_id, rule.metric].append(rule)
        self.count = partitions
        """Partitions of the watched topic."""
        self.partitions = sorted({self._partition(*metric) for metric in self._rules})
        """Those of the watched topic that any rule is in."""
        self.parts = frozenset(part for rule in rules for part in rule.parts)
        """What any rule asks for."""

    @property
    def metrics(self) -> Collection[tuple[UUID, str]]:
        """Tenant and name of each metric that a rule is of."""
        return self._rules.keys()

    def watches(self, series: Sequence[WatchedSeries]) -> list[Watch]:
        """Those of the series that a rule watches."""
        by_metric: defaultdict[tuple[UUID, str], list[WatchedSeries]] = defaultdict(list)
        for one in series:
            by_metric[one.tenant_id, one.name].append(one)
        return [
            watch for metric, found in by_metric.items() for watch in self._of_metric(metric, found)
        ]

    def _of_metric(
        self, metric: tuple[UUID, str], series: Sequence[WatchedSeries]
    ) -> Iterable[Watch]:
        labels = [one.label_set() for one in series]
        watched, keep = [False] * len(series), [False] * len(series)
        for rule in self._rules.get(metric, ()):
            for position, matches in enumerate(rule.match(labels)):
                watched[position] |= matches
                keep[position] |= matches and "values" in rule.parts
        for one, is_watched, is_kept in zip(series, watched, keep, strict=True):
            if is_watched:
                yield Watch(one.series_id, entry(one), self._partition(*metric), is_kept)

    def _partition(self, tenant_id: UUID, metric: str) -> int:
        return partition_of(tenant_id, metric=metric, partitions=self.count)
