"""A rule at work: which series it watches, what they are grouped to, and the alerts that there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from schemas.rules import Rule
from schemas.transitions import fingerprint
from schemas.watched import WatchedSeries
from stream.core.functions import horizon
from stream.core.history import History
from stream.core.states import AlertState
from stream.core.watchlist import Match


class LiveRule(NamedTuple):
    """A rule that is enabled."""

    tenant_id: UUID
    rule: Rule
    version: int
    match: Match

    @property
    def key(self) -> tuple[UUID, str]:
        """Tenant and name."""
        return self.tenant_id, self.rule.name


@dataclass
class Series:
    """A series that any rule watches."""

    tenant_id: UUID
    name: str
    labels: dict[str, str]
    history: History = field(default_factory=History)
    places: "list[tuple[Watcher, str]]" = field(default_factory=list)
    """The rules that watch it, each with the fingerprint of the target that it belongs to."""

    @classmethod
    def of(cls, described: WatchedSeries) -> "Series":
        """As a record describes it."""
        return cls(described.tenant_id, described.name, described.label_set())


@dataclass
class Target:
    """What one alert can be about: a series, or a group of them."""

    labels: dict[str, str]
    histories: list[History] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The newest slot of its samples; 0 where there are none."""
        return max((one.last for one in self.histories), default=0)


class Watcher:
    """A rule with its targets and alerts, by fingerprint."""

    def __init__(self, live: LiveRule) -> None:
        self.tenant_id, self.rule, self.version, self.match = live
        self.every = int(live.rule.interval.total_seconds() * 2)
        self.horizon = horizon(live.rule)
        waits = live.rule.wait + live.rule.keep_firing_for
        self.settling = self.horizon + int(waits.total_seconds() * 2) + 2 * self.every
        """Slots without a sample after which the rule's alerts stay as they are."""
        self.percentile = live.rule.percentile is not None
        self.targets: dict[str, Target] = {}
        self.alerts: dict[str, AlertState] = {}
        self.live: set[str] = set()
        """Targets to evaluate: those with samples within the horizon, or an alert."""

    @property
    def key(self) -> tuple[UUID, str]:
        """Tenant and name."""
        return self.tenant_id, self.rule.name

    def target_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels of the target that a series belongs to."""
        if self.rule.group_by is None:
            return dict(labels)
        return {name: labels[name] for name in self.rule.group_by if name in labels}

    def watch(self, series: Sequence[Series]) -> None:
        """Take in those of these series, all of the rule's tenant and metric, that it matches."""
        matches = self.match([one.labels for one in series])
        for one, matched in zip(series, matches, strict=True):
            if matched:
                labels = self.target_labels(one.labels)
                mark = fingerprint(labels)
                target = self.targets.setdefault(mark, Target(labels))
                target.histories.append(one.history)
                one.places.append((self, mark))
                self.live.add(mark)

    def belongs(self, state: AlertState) -> bool:
        """Whether an alert of before is one of the rule as it is now."""
        if state.metric != self.rule.metric or state.group_by != self.rule.group_by:
            return False
        if state.group_by is None:
            return all(self.match([state.target]))
        return True

    def take(self, mark: str, state: AlertState) -> None:
        """Go on with an alert."""
        self.alerts[mark] = state
        self.targets.setdefault(mark, Target(state.target))
        self.live.add(mark)

    def idle(self, mark: str) -> None:
        """A target has no sample that counts, and no alert."""
        self.live.discard(mark)
        if not self.targets[mark].histories:
            del self.targets[mark]

    def forget(self, mark: str, history: History) -> None:
        """A series is no more."""
        target = self.targets[mark]
        target.histories = [one for one in target.histories if one is not history]
        if not target.histories and mark not in self.alerts:
            del self.targets[mark]
            self.live.discard(mark)
