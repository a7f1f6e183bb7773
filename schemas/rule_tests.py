"""Tests of alert rules, in the format of `promtool test rules`: series in, alerts out."""

import json
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from schemas.durations import Duration
from schemas.errors import Invalid
from schemas.rule_files import the_one, told


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


def _in_quotes(given: object) -> object:
    if not isinstance(given, str):
        raise ValueError(f"put the values in quotes: here they read as {given!r}")  # noqa: TRY004 # pydantic's own
    return given


class InputSeries(_Model):
    """What comes in: a value an interval, the first at time 0."""

    series: str
    # A number is refused: YAML reads 0x5, six times nought, as five.
    values: Annotated[str, BeforeValidator(_in_quotes)]


class ExpectedAlert(_Model):
    """All of an alert's labels, but for alertname, and all of its texts."""

    exp_labels: dict[str, str] = Field(default_factory=dict)
    exp_annotations: dict[str, str] = Field(default_factory=dict)


class AlertCase(_Model):
    """The alerts of a rule that fire at a time since 0: these and no others."""

    eval_time: Duration
    alertname: str
    exp_alerts: tuple[ExpectedAlert, ...] = ()


class RuleTest(_Model):
    """Series, and what is to come of them."""

    name: str = ""
    interval: Duration | None = None
    input_series: tuple[InputSeries, ...] = ()
    alert_rule_test: tuple[AlertCase, ...] = ()


class RuleTests(_Model):
    """A file of tests."""

    rule_files: tuple[str, ...] = Field(min_length=1)
    evaluation_interval: Annotated[Duration, Field(gt=timedelta(0))] = Field(
        default=timedelta(minutes=1), description="Of rules that say no interval of their own."
    )
    tests: tuple[RuleTest, ...]


def read_tests(text: str, name: str) -> RuleTests:
    """The tests that a file called `name` holds. Raises Invalid that says what is wrong and where."""
    try:
        return RuleTests.model_validate_json(json.dumps(the_one(text, name)))
    except ValidationError as error:
        raise Invalid("bad_tests", f"{name}: {told(error)}") from error
