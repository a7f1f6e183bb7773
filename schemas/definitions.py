"""Metric definitions: what a metric's name means, how long it is kept, what a query of it returns."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.errors import Invalid
from schemas.samples import check_name

MetricType = Literal["gauge", "counter", "histogram", "summary"]
Aggregation = Literal["avg", "min", "max", "sum", "count", "rate", "p50", "p95", "p99"]

DEFAULT_AGGREGATION: dict[MetricType, Aggregation] = {
    "gauge": "avg",
    "counter": "rate",
    "histogram": "p95",
    "summary": "avg",
}
"""What a query returns when neither it nor the definition says."""


def _name(text: str) -> str:
    try:
        check_name(text)
    except Invalid as error:
        raise ValueError(str(error)) from error
    return text


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold U+0000")
    return text


MetricName = Annotated[str, AfterValidator(_name)]
"""1 to 256 bytes of text; the pattern is everything but U+0000."""

Storable = Annotated[str, AfterValidator(_storable)]
"""Text that the database takes."""
_Limit = Annotated[float, Field(ge=-1e290, le=1e290, allow_inf_nan=False)]


class AlertThreshold(BaseModel):
    """Where a value becomes worrying; a critical one below the warning means that low is bad."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    warning: _Limit | None = Field(default=None, examples=[80])
    critical: _Limit | None = Field(default=None, examples=[95])

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.warning is None and self.critical is None:
            raise ValueError("must have warning, critical or both; or leave alert_threshold out")
        return self


class Definition(BaseModel):
    """What is defined of a metric, but for its name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    display_name: (
        Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_storable)] | None
    ) = Field(default=None, examples=["CPU usage"])
    description: (
        Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_storable)] | None
    ) = Field(default=None, examples=["Share of the time that all cores were busy."])
    unit: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)] | None = (
        Field(default=None, examples=["percent"])
    )
    type: MetricType = Field(examples=["gauge"])
    aggregation: Aggregation = Field(
        default_factory=lambda given: DEFAULT_AGGREGATION[given["type"]],
        description="What a query returns unless it asks for another. Default: rate of a counter, "
        "p95 of a histogram, avg of the others. Only a counter has a rate.",
        examples=["avg"],
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="How long raw samples are kept; null: as long as the settings say.",
        examples=[90],
    )
    alert_threshold: AlertThreshold | None = None
    max_label_values: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Distinct values that each label may have; null: as many as the settings say.",
        examples=[1000],
    )

    @model_validator(mode="after")
    def _rate_of_a_counter(self) -> Self:
        if self.aggregation == "rate" and self.type != "counter":
            raise ValueError(f"aggregation rate is of counters: not of a {self.type}")
        return self


class NamedDefinition(Definition):
    """What is defined of a metric, with its name."""

    name: MetricName = Field(examples=["cpu_usage"])
