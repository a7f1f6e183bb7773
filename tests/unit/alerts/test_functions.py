"""What a function makes of rows that came when no rule asked for what it needs."""

import json

import numpy as np
import pytest

from schemas.batches import Source
from schemas.rules import Rule
from schemas.watched import Header, decode, encode
from schemas.watched_rows import PARTS, SLOT, Part
from stream.core.functions import parts_of, reading
from stream.core.history import History, block_of, values_of
from stream.core.reduction import reduced

NEEDS: dict[str, set[Part]] = {
    "value": set(),
    "count": set(),
    "avg": {"sum"},
    "sum": {"sum"},
    "min": {"min"},
    "max": {"max"},
    "rate": {"increase"},
    "p90": {"values"},
}
KNOWN = [(2 * SLOT + 1, 8.0), (3 * SLOT, 5.0), (4 * SLOT - 1, 7.0), (4 * SLOT, 9.0)]


def rule(function: str) -> Rule:
    window = {} if function == "value" else {"window": "2s"}
    fields = {"name": "r", "metric": "m", "operator": ">", "critical": 1, "function": function}
    return Rule.model_validate_json(json.dumps(fields | window))


def heard(history: History, samples: list[tuple[int, float]], parts: frozenset[Part]) -> None:
    """Add what a record says of these samples when rules ask for these parts."""
    ts, values = (np.array(column) for column in zip(*samples, strict=True))
    ids, keep = np.ones(len(ts), np.int64), np.full(len(ts), "values" in parts)
    sent = reduced(ids, ts, values.astype(np.float64), keep, parts=parts)
    rows = decode(encode(Header(Source("s", 0), 1, 0, 1, None), [b"\xc0"], sent)).rows
    history.add(block_of(rows), values_of(rows), 0)


@pytest.mark.parametrize("function", NEEDS)
def test_rows_that_came_before_the_rule_count_as_far_as_they_are_known(function: str) -> None:
    """As if its series had not been watched until then: a part of the truth would be another number."""
    given = rule(function)
    needs = parts_of(given)
    assert needs == NEEDS[function]
    late, whole, apart = (History(keeps=True) for _ in range(3))
    before = [(1, 1.0), (SLOT, 100.0), (SLOT + 1, -50.0), (2 * SLOT, 60.0)]
    heard(late, before, PARTS - needs)
    heard(late, KNOWN, needs)
    heard(whole, before, needs)
    heard(whole, KNOWN, needs)
    heard(apart, KNOWN, needs)
    expected = apart if needs else whole
    assert reading(given, [late], 4) == reading(given, [expected], 4)
    unheard = History()
    heard(unheard, before, PARTS - needs)
    assert (reading(given, [unheard], 4) is None) == bool(needs)
