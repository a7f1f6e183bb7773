"""The newest sample of each series, and what a sample measured."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from query.database import Reading, Rows

Value = float | bool | str


async def latest(reading: Reading, series: Iterable[int]) -> Rows:
    """The newest row of each series that has one, however old, in the order of the series."""
    ids = list(series)
    return await reading.rows("latest_samples", ids) if ids else []


def value_of(row: Any) -> Value:
    """What was measured: the number, boolean or text of a row."""
    number, truth, text = row["v_num"], row["v_bool"], row["v_text"]
    value: Value = number if number is not None else truth if truth is not None else text or ""
    return value


def columns(values: Iterable[Value]) -> dict[str, pa.Array]:
    """Values as a column for each kind: number, boolean, text; null where it is of another kind."""
    found = list(values)
    return {
        name: pa.array([one if type(one) is kind else None for one in found], column)
        for name, kind, column in (
            ("value", float, pa.float64()),
            ("boolean", bool, pa.bool_()),
            ("text", str, pa.string()),
        )
    }
