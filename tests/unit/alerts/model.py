"""The rules' meaning once more, slow and plain: every sample is kept, every slot looks at all of them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from schemas.rules import Rule
from schemas.transitions import fingerprint
from schemas.watched_rows import SLOT

LOOKBACK = 600


Target = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One measurement."""

    ts: int
    series: int
    value: float


class Told(NamedTuple):
    """A transition, as far as the model says it."""

    slot: int
    target: Target
    was: str
    state: str
    level: str
    number: int
    episode: int
    value: float | None


class Model:
    """One rule over series whose labels are given; all times are slots but those of samples."""

    def __init__(self, rule: Rule, labels: Mapping[int, dict[str, str]]) -> None:
        self.rule = rule
        self.labels = labels
        self.samples: list[Sample] = []
        self.alerts: dict[Target, dict[str, object]] = {}
        self.told: list[Told] = []

    def target(self, series: int) -> Target:
        """What a series belongs to."""
        labels = self.labels[series]
        names = labels if self.rule.group_by is None else self.rule.group_by
        return tuple(sorted((name, labels[name]) for name in names))

    def evaluate(self, slot: int) -> None:
        """Look at every target at the end of a slot."""
        if slot % int(self.rule.interval.total_seconds() * 2):
            return
        targets = {self.target(sample.series) for sample in self.samples} | set(self.alerts)
        found = {target: self.level(target, slot) for target in sorted(targets)}
        order = sorted(targets, key=lambda target: (target not in self.alerts, mark(target)))
        for target in order:
            level, value = found[target]
            if target in self.alerts:
                self.go_on(target, level, value, slot)
            elif level is not None and len(self.alerts) < self.rule.limit:
                pending = bool(self.rule.wait)
                self.alerts[target] = {"level": level, "since": slot, "n": 0, "good": None}
                self.tell(target, "inactive", "pending" if pending else "firing", slot, value)

    def go_on(
        self,
        target: Target,
        level: str | None,
        value: float | None,
        slot: int,
    ) -> None:
        """The next state of an alert that there is."""
        alert = self.alerts[target]
        if alert["state"] == "pending":
            if level is None:
                self.tell(target, "pending", "inactive", slot, value)
            elif (slot - int(str(alert["since"]))) / 2 >= self.rule.wait.total_seconds():
                alert["level"] = level
                self.tell(target, "pending", "firing", slot, value)
        elif level is not None:
            alert["good"] = None
            if level != alert["level"]:
                alert["level"] = level
                self.tell(target, "firing", "firing", slot, value)
        else:
            if alert["good"] is None:
                alert["good"] = slot
            kept = (slot - int(str(alert["good"]))) / 2
            if kept >= self.rule.keep_firing_for.total_seconds():
                self.tell(target, "firing", "resolved", slot, value)

    def tell(
        self,
        target: Target,
        was: str,
        state: str,
        slot: int,
        value: float | None,
    ) -> None:
        """Note a transition."""
        alert = self.alerts[target]
        alert["n"] = number = int(str(alert["n"])) + 1
        alert["state"] = state
        since = int(str(alert["since"]))
        self.told.append(Told(slot, target, was, state, str(alert["level"]), number, since, value))
        if state in {"inactive", "resolved"}:
            del self.alerts[target]

    def level(self, target: Target, slot: int) -> tuple[str | None, float | None]:
        """How bad it is, and the value."""
        rule = self.rule
        if rule.absent_for is not None:
            size = int(rule.absent_for.total_seconds() * 2)
            there = any(
                sample.ts > (slot - size) * SLOT
                for sample in self.samples
                if self.target(sample.series) == target
            )
            return (None if there else "critical"), None
        value = self.value(target, slot)
        if value is None:
            return None, None
        firing = self.alerts.get(target, {}).get("state") == "firing"

        def bad(limit: float | None) -> bool:
            return (
                limit is not None
                and {
                    ">": value > limit,
                    ">=": value >= limit,
                    "<": value < limit,
                    "<=": value <= limit,
                    "==": value == limit,
                    "!=": value != limit,
                }[str(rule.operator)]
            )

        if bad(rule.critical):
            return "critical", value
        if bad(rule.warning):
            return "warning", value
        if firing and bad(rule.clear):
            return ("warning" if rule.warning is not None else "critical"), value
        return None, value

    def value(self, target: Target, slot: int) -> float | None:
        """What the rule's function makes of the samples, or of the change."""
        rule = self.rule
        size = LOOKBACK if rule.window is None else int(rule.window.total_seconds() * 2)
        now = self.over(target, slot - size, slot)
        if rule.change is None or now is None:
            return now
        before = self.over(target, slot - 2 * size, slot - size)
        if before is None or (rule.change == "percent" and before == 0):
            return None
        return now - before if rule.change == "absolute" else (now - before) / abs(before) * 100

    def over(self, target: Target, after: int, until: int) -> float | None:
        """The function of the target's samples in (after, until]."""
        found = [
            sample
            for sample in sorted(self.samples, key=lambda sample: sample.ts)
            if self.target(sample.series) == target and after * SLOT < sample.ts <= until * SLOT
        ]
        values = [sample.value for sample in found]
        function = str(self.rule.function)
        if not found:
            return None
        if function == "rate":
            rates = [
                rate
                for series in self.labels
                if (rate := extrapolated([s for s in found if s.series == series], after, until))
                is not None
            ]
            return sum(rates) if rates else None
        if function.startswith("p"):
            return float(np.quantile(values, float(function[1:]) / 100))
        return {
            "value": values[-1],
            "avg": math.fsum(values) / len(values),
            "sum": math.fsum(values),
            "min": min(values),
            "max": max(values),
            "count": float(len(values)),
        }[function]


def extrapolated(samples: Sequence[Sample], after: int, until: int) -> float | None:
    """`rate` as Prometheus' functions.go says it."""
    if len(samples) < 2 or samples[-1].ts == samples[0].ts:
        return None
    increase = samples[-1].value - samples[0].value
    for i in range(1, len(samples)):
        if samples[i].value < samples[i - 1].value:
            increase += samples[i - 1].value
    start = samples[0].ts / 1e6 - after / 2
    end = until / 2 - samples[-1].ts / 1e6
    sampled = samples[-1].ts / 1e6 - samples[0].ts / 1e6
    mean = sampled / (len(samples) - 1)
    if start >= mean * 1.1:
        start = mean / 2
    if increase > 0 and samples[0].value >= 0:
        start = min(start, sampled * samples[0].value / increase)
    if end >= mean * 1.1:
        end = mean / 2
    return increase * (sampled + start + end) / sampled / ((until - after) / 2)


def mark(target: Target) -> str:
    """Of the labels, as the engine orders by it."""
    return fingerprint(dict(target))
