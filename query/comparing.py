"""Decides what got better or worse between two runs: a figure beyond the noise of its test. Pure.

The noise band of a figure is learnt from how far each run of the test lay from the runs just before it
(query.noise), and lies around the level of the baseline: the median of it and the runs just before it,
as one run alone is noisy itself. A busy machine slows down all endpoints alike: where there are enough
of them, what most of them did is judged by itself, and each by how far it went beyond that. What creeps
by less than the noise from run to run is found against an older baseline.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median
from typing import Literal

from query.noise import Spread, spread, spreads
from query.run_figures import (
    Differences,
    Figure,
    Figures,
    Quantity,
    Ratios,
    Scale,
    Shares,
    Subject,
)

Outcome = Literal["regressed", "improved", "same", "not_enough_data"]
Verdict = Literal["regressed", "improved", "same", "not_enough_data", "new", "gone"]

LEAST_POINTS: dict[Quantity, int] = {"avg": 20, "p50": 20, "p95": 200, "p99": 1000}
"""Of a trend, in both runs: ten beyond a percentile, or a single stall decides where it is."""
AROUND = 4
"""Runs just before one that tell its level together with it."""
_LEAST_AROUND = 2
_ALONE = 1.25
"""How much wider noise is around one run than around the median of five: sqrt(2 / 1.3)."""
LEAST_ENDPOINTS = 8
"""Of which most tell what became of all."""
_CERTAIN = 1e9


@dataclass(frozen=True)
class Row:
    """A figure in both runs. `low` and `high` bound what is no more than noise; None: not known."""

    subject: Subject
    baseline: float | None
    run: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    changes: int
    """From run to run, of which the noise was learnt."""


@dataclass(frozen=True)
class _Pair:
    """A figure that both runs have. Changes are on its scale, from the level of the runs before."""

    subject: Subject
    scale: Scale
    before: Figure
    after: Figure
    level: float
    past: Mapping[int, float]
    """Changes from run to run, by the number of the run."""
    typical_n: float

    @property
    def change(self) -> float:
        return self.scale.place(self.after) - self.level

    @property
    def thinner(self) -> float:
        """How much wider than usual chance spreads a trend, when it is of fewer points than usual."""
        if self.subject.quantity not in LEAST_POINTS:
            return 1.0
        return sqrt(max(1.0, self.typical_n / max(1, min(self.before.n, self.after.n))))

    @property
    def enough(self) -> bool:
        return min(self.before.n, self.after.n) >= LEAST_POINTS.get(self.subject.quantity, 0)


def compare(
    run: Figures, baseline: Figures, history: Sequence[Figures], around: Sequence[Figures]
) -> list[Row]:
    """Every figure of either run; those that got worse first, then by name.

    `history` holds the runs of the test before `run`, `around` the last before `baseline`, the oldest
    first.
    """
    groups: defaultdict[object, list[_Pair]] = defaultdict(list)
    for subject in run.keys() & baseline.keys():
        pair = _pair(subject, (baseline[subject], run[subject]), history, around)
        groups[subject.quantity, type(pair.scale)].append(pair)
    learnt = [(group, _learn(group)) for group in groups.values()]
    comparisons = sum(
        pair.enough and (pair.subject in found.alone or pair.subject in found.beside)
        for group, found in learnt
        for pair in group
    )
    rows = [_judged(pair, found, comparisons) for group, found in learnt for pair in group]
    rows += _one_sided(run, baseline)
    order = ("regressed", "improved", "new", "gone", "same", "not_enough_data")
    return sorted(rows, key=lambda row: (order.index(row.verdict), _sortable(row.subject)))


def overall(rows: Iterable[Row]) -> Outcome:
    """The verdict on the whole: the worst of its figures'."""
    found = {row.verdict for row in rows}
    outcomes: tuple[Outcome, ...] = ("regressed", "improved", "same")
    return next((one for one in outcomes if one in found), "not_enough_data")


def _pair(
    subject: Subject,
    both: tuple[Figure, Figure],
    history: Sequence[Figures],
    around: Sequence[Figures],
) -> _Pair:
    past = [one[subject] for one in history if subject in one]
    beside = [one[subject] for one in around if subject in one]
    everything = [*both, *past, *beside]
    scale: Scale = Ratios()
    if subject.quantity == "failed":
        scale = Shares()
    elif min(one.value for one in everything) <= 0:
        scale = Differences(median(abs(one.value) for one in everything))
    level = median(scale.place(one) for one in (both[0], *beside))
    changes = _changes([scale.place(h[subject]) if subject in h else None for h in history])
    typical_n = median(one.n for one in past) if past else 0.0
    return _Pair(subject, scale, *both, level, changes, typical_n)


def _changes(places: Sequence[float | None]) -> dict[int, float]:
    """How far each was from the level of those just before it."""
    changes: dict[int, float] = {}
    for number, place in enumerate(places):
        before = [one for one in places[max(0, number - 1 - AROUND) : number] if one is not None]
        if place is not None and len(before) >= _LEAST_AROUND:
            changes[number] = place - median(before)
    return changes


@dataclass(frozen=True)
class _Learnt:
    """How a kind of figure varies.

    `alone` has the spreads of figures that are judged by themselves, `beside` of those that are judged
    by how far they went beyond what most did, which is `shift`, and varies by `common`.
    """

    alone: Mapping[Subject, Spread]
    beside: Mapping[Subject, Spread]
    shift: float = 0.0
    common: Spread | None = None


def _learn(group: Sequence[_Pair]) -> _Learnt:
    endpoints = [pair for pair in group if pair.subject.name is not None]
    steps: defaultdict[int, list[float]] = defaultdict(list)
    for pair in endpoints:
        for number, change in pair.past.items():
            steps[number].append(change)
    shifts = {n: median(of) for n, of in steps.items() if len(of) >= LEAST_ENDPOINTS}
    common = spread(list(shifts.values()))
    many = common is not None and len(endpoints) >= LEAST_ENDPOINTS
    alone = {
        pair.subject: found
        for pair in group
        if not many or pair.subject.name is None
        if (found := spread(list(pair.past.values()))) is not None
    }
    if not many:
        return _Learnt(alone, {})
    beside = {
        pair.subject: [change - shifts[n] for n, change in pair.past.items() if n in shifts]
        for pair in endpoints
    }
    shift = median(pair.change for pair in endpoints)
    return _Learnt(alone, spreads(beside), shift, common)


def _judged(pair: _Pair, learnt: _Learnt, comparisons: int) -> Row:
    subject, before, after = pair.subject, pair.before.value, pair.after.value
    found = learnt.alone.get(subject) or learnt.beside.get(subject)
    if found is None or not pair.enough:
        return Row(subject, before, after, None, None, "not_enough_data", len(pair.past))
    width = found.width(comparisons) * pair.thinner
    if subject.quantity == "failed":
        chance = Spread(sqrt(1 / pair.before.n + 1 / pair.after.n), _CERTAIN)
        width = max(width, chance.width(comparisons))
    shared, shift = 0.0, 0.0
    if subject in learnt.beside and learnt.common is not None:
        shared = learnt.common.width(comparisons)
        shift = min(shared, max(-shared, learnt.shift))
    middle = pair.level
    place = pair.scale.place(pair.before)
    if abs(place - middle) > width + shared:
        # The runs before the baseline were of another level than it.
        middle, width = place, width * _ALONE
    nearly = pair.scale.least(before)
    bottom = min(pair.scale.value(middle + min(0.0, shift) - width), nearly[0])
    top = max(pair.scale.value(middle + max(0.0, shift) + width), nearly[1])
    verdict: Verdict = "same"
    if not bottom <= after <= top:
        verdict = "regressed" if (after > top) == (subject.worse > 0) else "improved"
    return Row(subject, before, after, bottom, top, verdict, len(pair.past))


def _one_sided(run: Figures, baseline: Figures) -> list[Row]:
    """What only one of the runs has. An endpoint that answers with another status is neither new nor gone."""
    after, before = ({_whatever_status(one) for one in of} for of in (run, baseline))
    return [
        Row(one, None, run[one].value, None, None, "new", 0)
        for one in run.keys() - baseline.keys()
        if _whatever_status(one) not in before
    ] + [
        Row(one, baseline[one].value, None, None, None, "gone", 0)
        for one in baseline.keys() - run.keys()
        if _whatever_status(one) not in after
    ]


def _whatever_status(subject: Subject) -> Subject:
    return replace(subject, status=None)


def _sortable(subject: Subject) -> tuple[str, ...]:
    return (
        subject.name or "",
        subject.method or "",
        subject.status or "",
        subject.metric,
        subject.quantity,
    )
