"""What `headrace bench alerts` sends: a fleet of watched series, and the rules that watch them."""

import json
import random
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schemas.rules import Rule

RULES, SERIES_OF_A_RULE = 200, 5
SERIES = RULES * SERIES_OF_A_RULE
TICK = 0.02
"""Seconds between two samples of a series: 50,000 samples a second in all."""
_IN_A_RECORD = 125
RECORDS = SERIES // _IN_A_RECORD
"""Of a tick; the same series are in the same one each time."""
_VALUES = 10_000
"""Different good ones, below the rules' limit; `_BAD` is above it."""
_BAD = "200"


def a_rule_each() -> list[Rule]:
    """A metric each: half of them look at the latest value, half at a second's greatest."""
    forms: list[dict[str, object]] = [{"function": "value"}, {"function": "max", "window": "1s"}]
    return [
        Rule.model_validate_json(
            json.dumps(
                {"name": f"rule-{n}", "metric": f"metric_{n}", "operator": ">", "critical": 100}
                | forms[n % 2]
            )
        )
        for n in range(RULES)
    ]


class Record(NamedTuple):
    """An envelope, and the numbers of the series in it."""

    value: bytes
    series: range


class Fleet:
    """Makes samples of all series of a tenant, good ones but for those that are to be bad.

    Of texts that are made once: what it takes to make the load is missing to what is measured.
    """

    def __init__(self, tenant: UUID) -> None:
        # The same load each time, not a secret.
        self._random = random.Random(1)  # noqa: S311
        self._envelope = f'{{"tenant_id":"{tenant}","source":"bench","metrics":['
        self._samples = [
            f'{{"name":"metric_{number // SERIES_OF_A_RULE}","labels":{{"number":"{number}"}},"value":'
            for number in range(SERIES)
        ]
        self._values = [str(round(self._random.random() * 50, 3)) for _ in range(_VALUES)]

    def tick(self, at: datetime, bad: Collection[int] = ()) -> Iterator[Record]:
        """Records with a sample of each series."""
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        end = f',"timestamp":"{stamp}"}}'
        for first in range(0, SERIES, _IN_A_RECORD):
            series = range(first, first + _IN_A_RECORD)
            values = self._random.choices(self._values, k=_IN_A_RECORD)
            for number in bad:
                if number in series:
                    values[number - first] = _BAD
            samples = map(str.__add__, self._samples[first : series.stop], values)
            yield Record(f"{self._envelope}{f'{end},'.join(samples)}{end}]}}".encode(), series)
