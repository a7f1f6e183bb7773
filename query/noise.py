"""Learns how much a figure changes from run to run of a test in which nothing changed. Pure.

Changes are measured on a scale on which noise is as wide everywhere: logarithms for times and rates,
angles for shares. A figure's own changes tell its spread. A dozen of them tell it badly, and that doubt
widens the band (Student's t); where there are many alike figures, a spread is drawn towards theirs, the
more the more alike they are, and the doubt shrinks (empirical Bayes, as limma does it for genes).
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

LEAST_CHANGES = 5
"""Of which a spread is learnt: that takes seven runs."""

FALSE_ALARMS = 0.001
"""Chance that a comparison of unchanged runs flags anything at all, however many figures it has."""

_OUTLIER = 4.0
"""Robust deviations from which on a change is one of the service, not noise: it teaches nothing."""
_NORMAL = 1.4826
"""Of the median absolute deviation, to make it a standard deviation."""
_CHAIN = 1.3
"""Changes are from runs that they share, and so worth fewer: their squares vary so much more."""
_ALIKE = 200.0
"""Most that the other endpoints count for, in changes: they are never exactly alike."""
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Spread:
    """Standard deviation of a change, and how many independent changes it is known from."""

    deviation: float
    freedom: float

    def width(self, comparisons: int) -> float:
        """How far a change goes that is only noise, when so many are looked at."""
        beyond = FALSE_ALARMS / (2 * max(1, comparisons))
        return self.deviation * _student(-NormalDist().inv_cdf(beyond), self.freedom)


def spread(changes: Sequence[float]) -> Spread | None:
    """The spread of a figure's changes; None of fewer than LEAST_CHANGES.

    Of those that are no outliers. They spread around zero: nothing goes one way for ever.
    """
    if len(changes) < LEAST_CHANGES:
        return None
    limit = _OUTLIER * _NORMAL * median(abs(one) for one in changes)
    kept = [one for one in changes if abs(one) <= limit]
    deviation = math.sqrt(sum(one * one for one in kept) / len(kept))
    return Spread(deviation, max(1.0, len(kept) / _CHAIN))


def spreads(changes: Mapping[Key, Sequence[float]]) -> dict[Key, Spread]:
    """The spread of each of several alike figures, whose changes have nothing to do with each other."""
    own = {key: found for key, of in changes.items() if (found := spread(of)) is not None}
    varying = [one for one in own.values() if one.deviation > _NEGLIGIBLE]
    if not varying:
        return own
    typical = median(one.deviation**2 for one in varying)
    weight = _likeness(varying)
    return {
        key: Spread(
            math.sqrt((one.freedom * one.deviation**2 + weight * typical) / (one.freedom + weight)),
            one.freedom + weight,
        )
        for key, one in own.items()
    }


def _likeness(own: Sequence[Spread]) -> float:
    """How many changes the others' spreads are worth: few when they differ more than chance has it."""
    if len(own) <= 2:  # noqa: PLR2004 # two tell nothing of how much they differ
        return 0.0
    logs = [math.log(one.deviation**2) for one in own]
    middle = sum(logs) / len(logs)
    varies = sum((one - middle) ** 2 for one in logs) / (len(logs) - 1)
    excess = varies - sum(_trigamma(one.freedom / 2) for one in own) / len(own)
    if excess <= 0:
        return _ALIKE
    # trigamma(weight / 2) = excess
    return min(_ALIKE, (1 + math.sqrt(1 + 2 * excess)) / excess)


def _trigamma(x: float) -> float:
    """Variance of the logarithm of a variance known from 2x changes; the first terms suffice."""
    return 1 / x + 1 / (2 * x * x)


def _student(normal: float, freedom: float) -> float:
    """The quantile of Student's t beside that of the normal distribution (Wallace 1959)."""
    scaled = normal * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(scaled * scaled / freedom))
