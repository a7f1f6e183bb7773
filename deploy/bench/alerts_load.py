"""What `headrace bench alerts` sends: a fleet of watched series, and the rules that watch them."""

import json
import random
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from schemas.rules import Rule

RULES, SERIES_OF_A_RULE = 200, 5
SERIES = RULES * SERIES_OF_A_RULE
TICK = 0.02
"""Seconds between two samples of a series: 50,000 samples a second in all."""
IN_A_RECORD = 125
RECORDS = SERIES // IN_A_RECORD
"""Of a tick; the same series are in the same one each time."""


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
    """Makes samples of all series of a tenant, good ones but for those that are to be bad."""

    def __init__(self, tenant: UUID) -> None:
        self._tenant = str(tenant)
        # The same load each time, not a secret.
        self._random = random.Random(1)  # noqa: S311

    def tick(self, at: datetime, bad: Collection[int] = ()) -> Iterator[Record]:
        """Records with a sample of each series."""
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for first in range(0, SERIES, IN_A_RECORD):
            series = range(first, first + IN_A_RECORD)
            samples: list[dict[str, Any]] = [
                {
                    "name": f"metric_{number // SERIES_OF_A_RULE}",
                    "value": 200 if number in bad else round(self._random.random() * 50, 3),
                    "labels": {"number": str(number)},
                    "timestamp": stamp,
                }
                for number in series
            ]
            envelope = {"tenant_id": self._tenant, "source": "bench", "metrics": samples}
            yield Record(msgspec.json.encode(envelope), series)
