"""Rows of an answer as columns, whose types are those of the model's fields."""

from collections.abc import Sequence
from datetime import datetime
from types import NoneType
from typing import Any, get_args
from uuid import UUID

import pyarrow as pa

from query.answers import Answer
from query.representations import LABELS, TIME

_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: TIME,
    dict[str, str]: LABELS,
}


def table(model: type[Answer], rows: Sequence[Answer]) -> pa.Table:
    """The rows as columns, but for fields that hold answers of their own. All else is text."""
    return pa.table(
        {
            name: pa.array([_plain(getattr(row, name)) for row in rows], _type(field.annotation))
            for name, field in model.model_fields.items()
            if not _nested(field.annotation)
        }
    )


def _type(annotation: Any) -> pa.DataType:
    kinds = [one for one in get_args(annotation) or (annotation,) if one is not NoneType]
    return _TYPES.get(annotation) or _TYPES.get(kinds[0], pa.string())


def _nested(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(isinstance(one, type) and issubclass(one, Answer) for one in kinds)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.items())
    return str(value) if isinstance(value, UUID) else value
