"""Says what is wrong with a sample: the field, a stable reason, and a text for a person."""

import re
from typing import Any

import msgspec
from pydantic import BaseModel, Field

from schemas import timestamps
from schemas.envelopes import readable
from schemas.errors import Invalid
from schemas.samples import Value, check_labels, check_name, check_source, check_value


class Fault(BaseModel):
    """Why a sample was refused: its first fault."""

    index: int = Field(description="position in `metrics`, from 0", examples=[17])
    field: str = Field(description="the field at fault; empty for the sample as a whole")
    reason: str = Field(description="a stable word", examples=["bad_value"])
    detail: str = Field(description="what is wrong, for a person")


LISTED = 100
"""Faults in an answer: the first show what is wrong, and a bad client repeats one a thousand times."""


class BadSamplesError(Exception):
    """Some samples are bad, and the caller did not ask for a part or there is no good one."""

    def __init__(self, faults: list[Fault], count: int) -> None:
        text = f"{len(faults)} of {count} samples are bad and nothing was stored."
        if count > len(faults):
            text += " Mend them, or store the good ones alone with ?partial=true."
        if len(faults) > LISTED:
            text += f" The first {LISTED} are listed."
        super().__init__(text)
        self.faults = faults[:LISTED]


class Written(msgspec.Struct, forbid_unknown_fields=True):
    """A sample as somebody wrote it, its fields of the right types."""

    name: str
    value: Value
    labels: dict[str, str] = {}
    timestamp: timestamps.Stamp = None
    source: str = ""


_PLACE = re.compile(r"`\$\.(\w+)|field `(\w+)`")


def examine(index: int, item: Any) -> Written | Fault:
    """The sample that a decoded JSON value stands for, or its first fault. Time is judged elsewhere."""
    try:
        sample = msgspec.convert(item, Written)
    except msgspec.ValidationError as error:
        return _misfit(index, error)
    field = "name"
    try:
        check_name(sample.name)
        field = "value"
        check_value(sample.value)
        field = "labels"
        check_labels(sample.labels)
        field = "source"
        if sample.source:
            check_source(sample.source)
    except Invalid as error:
        return Fault(index=index, field=field, reason=error.reason, detail=str(error))
    return sample


def untimely(index: int, micros: int, oldest: int) -> Fault:
    """The fault of a time that can't be read (`timestamps.UNREADABLE`) or lies outside the window."""
    if micros == timestamps.UNREADABLE:
        reason, detail = "bad_timestamp", "neither RFC 3339 with a zone nor milliseconds since 1970"
    else:
        reason = "too_old" if micros < oldest else "too_far_ahead"
        detail = f"timestamp {timestamps.as_text(micros)} is outside the accepted window"
    return Fault(index=index, field="timestamp", reason=reason, detail=detail)


def _misfit(index: int, error: msgspec.ValidationError) -> Fault:
    detail = readable(error)
    place = _PLACE.search(str(error))
    field = (place[1] or place[2]) if place else ""
    if "unknown field" in detail:
        reason = "unknown_field"
        if field == "tenant_id":
            detail += "; the tenant is that of the API key"
    elif "out of range" in detail:
        reason = "not_finite"
    else:
        reason = f"bad_{field}" if field else "bad_sample"
    return Fault(index=index, field=field, reason=reason, detail=detail)
