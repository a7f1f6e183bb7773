"""Run events: what `runs.events.v1` says about a load test, as JSON, keyed by execution id."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(_Model):
    """One threshold as the script states it.

    `metric` may be a submetric (`http_req_duration{name:list}`), `expression` is k6's own (`p(95)<500`),
    `k6_passed` is k6's verdict where its summary told, None where it did not.
    """

    metric: str
    expression: str
    abort_on_fail: bool = False
    k6_passed: bool | None = None


class PartitionSent(_Model):
    """What a bridge got acknowledged in one partition of the samples topic."""

    partition: NonNegativeInt
    points: NonNegativeInt
    last_offset: NonNegativeInt = Field(description="offset of the last record of this run there")


class _RunEvent(_Model):
    execution_id: UUID
    tenant_id: UUID
    at: AwareDatetime
    runner: str = Field(description="which machine or process ran k6; unique within the execution")


class RunStarted(_RunEvent):
    """A runner began to execute a test."""

    event: Literal["started"] = "started"
    test: str = Field(description="the test's name: what runs of it are compared under")
    script: str
    runners_expected: int = Field(default=1, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)
    thresholds: list[Threshold] = Field(default_factory=list)
    tags: dict[str, str] = Field(
        default_factory=dict, description="of the whole run: by these it is found in a list"
    )
    keep_raw: bool = Field(default=False, description="keep the points after aggregation")


class RunFinished(_RunEvent):
    """A runner ended and everything it sent is acknowledged by the broker."""

    event: Literal["finished"] = "finished"
    topic: str
    sent: list[PartitionSent] = Field(description="empty when the run produced no point")
    exit_code: int
    metrics: dict[str, str] = Field(description="metric name to k6 type: counter gauge rate trend")
    thresholds: list[Threshold]
    summary: dict[str, Any] | None = Field(
        default=None, description="k6's own --summary-export document, for comparison"
    )


class RunAborted(_RunEvent):
    """A runner died before it could finish; what it sent stays raw until someone decides."""

    event: Literal["aborted"] = "aborted"
    reason: str


RunEvent = Annotated[RunStarted | RunFinished | RunAborted, Field(discriminator="event")]
RUN_EVENT: TypeAdapter[RunStarted | RunFinished | RunAborted] = TypeAdapter(RunEvent)
