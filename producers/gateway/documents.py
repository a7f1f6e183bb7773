"""The bodies of the gateway as OpenAPI shows them; `reading` is what really reads them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from producers.gateway.faults import LISTED, Fault
from schemas.samples import LABEL_KEY, MAX_LABELS, MAX_NAME_BYTES, MAX_SAMPLES


class Sample(BaseModel):
    """One measurement."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME_BYTES, examples=["cpu_usage"])
    value: float | bool | str = Field(
        description="a finite number, a boolean, or text of at most 1 KiB", examples=[75.5]
    )
    labels: dict[str, str] = Field(
        default={},
        max_length=MAX_LABELS,
        description=f"keys as {LABEL_KEY.pattern}, values of at most 1 KiB",
        examples=[{"host": "server-1"}],
    )
    timestamp: datetime | int | float | None = Field(
        default=None,
        description="RFC 3339 with a zone, or milliseconds since 1970; absent, it is now",
        examples=["2026-01-15T10:30:00Z"],
    )
    source: str = Field(
        default="", description="what measured; samples of one source stay in order"
    )


class Batch(BaseModel):
    """Up to 10,000 samples."""

    model_config = ConfigDict(extra="forbid")

    metrics: list[Sample] = Field(min_length=1, max_length=MAX_SAMPLES)
    source: str = Field(default="", description="of the samples that name none")


class Accepted(BaseModel):
    """The samples are in Kafka."""

    accepted: int = Field(description="samples that the broker acknowledged", examples=[100])
    refused: int = Field(default=0, description="with `partial=true`: samples that were not stored")
    errors: list[Fault] = Field(
        default=[], description=f"why samples were refused; the first {LISTED}"
    )


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI entry of a route that reads its body itself."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
