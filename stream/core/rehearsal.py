"""Runs rules over series that somebody wrote down, through the engine that evaluates them in production."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import numpy as np

from schemas.batches import Source
from schemas.matchers import matching
from schemas.rules import Rule
from schemas.transitions import Transition
from schemas.watched import Header, Watched, WatchedSeries, decode, encode, entry
from stream.core.engine import Engine
from stream.core.lateness import Lateness
from stream.core.reduction import reduced
from stream.core.targets import LiveRule

_TENANT = UUID(int=0)
_SOURCE = Source("rehearsal", 0)
_AT_ONCE = Lateness(idle=0, allowance=0)
"""Nothing else will come: time is where the last sample, or the question, is."""


@dataclass(frozen=True)
class Written:
    """A series as it was written down: a value an interval from time 0 on, None where there is none."""

    metric: str
    labels: Mapping[str, str]
    values: Sequence[float | None]


def rehearse(
    rules: Iterable[Rule],
    series: Sequence[Written],
    interval: timedelta,
    moments: Iterable[timedelta],
) -> dict[timedelta, list[Transition]]:
    """The alerts that fire at each of these times since 0, as the transition that they are in says."""
    # Time 0 is evaluated, too.
    engine = Engine(_AT_ONCE, slot=-1)
    engine.set_rules(
        [LiveRule(_TENANT, rule, 1, partial(matching, rule.matchers)) for rule in rules], 0
    )
    step = interval // timedelta(microseconds=1)
    asked = sorted(set(moments))
    steps = max((len(one.values) for one in series), default=0)
    firing: dict[str, Transition] = {}
    found: dict[timedelta, list[Transition]] = {}
    given = 0
    for moment in asked:
        until = moment // timedelta(microseconds=1)
        while given < steps and given * step <= until:
            record = _record(series, given, given * step)
            if record is not None:
                engine.add(record, given * step)
                engine.catch_up(given * step)
            given += 1
        # A slot is over when time is past its end.
        engine.catch_up(until + 1)
        for transition in engine.take().transitions:
            if transition.state == "firing":
                firing[transition.key] = transition
            else:
                firing.pop(transition.key, None)
        found[moment] = list(firing.values())
    return found


def _record(series: Sequence[Written], position: int, ts: int) -> Watched | None:
    """The samples of one time."""
    present = [
        (number, one, value)
        for number, one in enumerate(series)
        if position < len(one.values) and (value := one.values[position]) is not None
    ]
    if not present:
        return None
    rows = reduced(
        np.array([number for number, _, _ in present], np.int64),
        np.full(len(present), ts, np.int64),
        np.array([value for _, _, value in present], np.float64),
    )
    entries = [
        entry(WatchedSeries(number, _TENANT, one.metric, json.dumps(dict(one.labels))))
        for number, one, _ in present
    ]
    header = Header(_SOURCE, 0, position, position + 1, ts)
    return decode(encode(header, entries, rows))
