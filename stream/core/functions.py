"""The value of a rule's function over windows: of one series, or of all those of a group.

As Prometheus has it: `rate` with its extrapolation to the ends of the window, percentiles interpolated
between the two nearest samples, `value` the latest sample. A group's rate is the sum of its series' rates.
"""

from collections.abc import Sequence

import numpy as np

from schemas.rules import Rule
from schemas.watched_rows import SLOT, Floats, Part
from stream.core import history
from stream.core.history import History, Window

LOOKBACK = 600
"""Slots in which `value` looks for the latest sample: five minutes."""

_MADE_OF: dict[str, tuple[Part, int]] = {
    "avg": ("sum", history.SUM),
    "sum": ("sum", history.SUM),
    "min": ("min", history.MIN),
    "max": ("max", history.MAX),
    "rate": ("increase", history.INCREASE),
}
"""What a function needs of rows besides what all of them have, and its line in a block."""

_NEAR = 1.1
"""In mean distances of samples: how near an end of the window samples go on to it."""


def parts_of(rule: Rule) -> frozenset[Part]:
    """What the rule needs of rows besides what all of them have."""
    if rule.percentile is not None:
        return frozenset({"values"})
    made_of = _MADE_OF.get(rule.function or "")
    return frozenset({made_of[0]}) if made_of else frozenset()


def slots(rule: Rule) -> int:
    """How long the rule's window is."""
    if rule.absent_for is not None:
        return int(rule.absent_for.total_seconds() * 2)
    return LOOKBACK if rule.window is None else int(rule.window.total_seconds() * 2)


def horizon(rule: Rule) -> int:
    """How many slots back a sample counts."""
    return slots(rule) * (2 if rule.change is not None else 1)


def reading(rule: Rule, series: Sequence[History], slot: int) -> float | None:
    """The rule's value at the end of a slot; None where there is none."""
    if rule.function is None:
        raise ValueError("a rule of absence has no value")
    size = slots(rule)
    now = _over(rule.function, series, slot - size, slot)
    if rule.change is None or now is None:
        return now
    before = _over(rule.function, series, slot - 2 * size, slot - size)
    if before is None:
        return None
    if rule.change == "absolute":
        return now - before
    return (now - before) / abs(before) * 100 if before else None


def _over(function: str, series: Sequence[History], after: int, until: int) -> float | None:
    windows = [found for one in series if (found := one.window(after, until)) is not None]
    if not windows:
        return None
    if function == "value":
        return _latest(windows)
    if function[0] == "p":
        return _percentile(windows, float(function[1:]) / 100)
    blocks = [_known(function, one.block) for one in windows]
    blocks = [block for block in blocks if block.shape[1]]
    if not blocks:
        return None
    if function == "rate":
        rates = [rate for block in blocks if (rate := _rate(block, after, until)) is not None]
        return sum(rates) if rates else None
    return _figure(function, blocks)


def _known(function: str, block: Floats) -> Floats:
    """The rows behind the last that came when no rule asked for what the function is made of."""
    if function not in _MADE_OF:
        return block
    _, line = _MADE_OF[function]
    unknown = np.flatnonzero(np.isnan(block[line]))
    return block[:, unknown[-1] + 1 :] if len(unknown) else block


def _figure(function: str, blocks: Sequence[Floats]) -> float:
    if function == "min":
        return float(min(block[history.MIN].min() for block in blocks))
    if function == "max":
        return float(max(block[history.MAX].max() for block in blocks))
    n = float(sum(block[history.N].sum() for block in blocks))
    if function == "count":
        return n
    total = float(sum(block[history.SUM].sum() for block in blocks))
    return total if function == "sum" else total / n


def _latest(windows: Sequence[Window]) -> float:
    newest, value = -1.0, 0.0
    for block, _ in windows:
        # Rows of one slot may overlap; those of different ones don't.
        inside = block[:, block[history.SLOT_OF] == block[history.SLOT_OF, -1]]
        place = inside.shape[1] - 1 - int(inside[history.LAST_TS, ::-1].argmax())
        if inside[history.LAST_TS, place] > newest:
            newest, value = inside[history.LAST_TS, place], inside[history.LAST, place]
    return float(value)


def _rate(block: Floats, after: int, until: int) -> float | None:
    n = block[history.N].sum()
    began = block[history.FIRST_TS, 0]
    ended = block[history.LAST_TS].max()
    sampled = (ended - began) / 1e6
    if n < 2 or not sampled:  # noqa: PLR2004 - a step needs two samples
        return None
    between = block[history.FIRST, 1:] - block[history.LAST, :-1]
    between = np.where(between < 0, block[history.FIRST, 1:], between)
    increase = block[history.INCREASE].sum() + between.sum()
    mean = sampled / (n - 1)
    to_start = (began - after * SLOT) / 1e6
    to_end = (until * SLOT - ended) / 1e6
    if to_start >= mean * _NEAR:
        to_start = mean / 2
    first = block[history.FIRST, 0]
    if increase > 0 and first >= 0:
        # A counter was not below zero before.
        to_start = min(to_start, sampled * (first / increase))
    if to_end >= mean * _NEAR:
        to_end = mean / 2
    whole = (until - after) * SLOT / 1e6
    return float(increase * ((sampled + to_start + to_end) / sampled) / whole)


def _percentile(windows: Sequence[Window], share: float) -> float | None:
    kept = [values for one in windows for values in one.values if values is not None]
    if not kept:
        return None
    values = np.concatenate([one for one, _ in kept])
    if all(counts is None for _, counts in kept):
        return float(np.quantile(values, share))
    counts = np.concatenate(
        [np.ones(len(one)) if counts is None else counts for one, counts in kept]
    )
    order = np.argsort(values)
    ends = counts[order].cumsum()
    place = share * (ends[-1] - 1)
    low, high = ends.searchsorted((np.floor(place), np.ceil(place)), side="right")
    lower, upper = values[order[low]], values[order[high]]
    return float(lower + (upper - lower) * (place - np.floor(place)))
