"""How a run, an import or a later delivery ended."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from producers.k6.delivery import Delivery
from producers.k6.envelopes import Envelopes
from schemas.runs import PartitionSent, Threshold


@dataclass(frozen=True)
class RunResult:
    """`exit_code` is k6's own (128+n where signal n killed it; 0 or 99 for an import).

    `delivered`: every point was acknowledged and the finished event is published. Otherwise `problem`
    says why, and `kept` is the directory to deliver later; without one, points are lost.
    `recorded` is false where k6 gave up before its first point: then nothing was published.
    `read` counts points that were looked at, `spooled_bytes` what waited on disk at most, `malformed` lines that are none, `adapted` tag sets changed to be accepted.
    """

    execution_id: UUID
    exit_code: int
    read: int
    sent: int
    malformed: int
    complaint: str
    adapted: int
    envelopes: int
    spooled_bytes: int
    partitions: list[PartitionSent]
    recorded: bool = True
    problem: str = ""
    kept: Path | None = None
    metrics: dict[str, str] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    summary: dict[str, Any] | None = None

    @property
    def delivered(self) -> bool:
        """Whether nothing is left to do."""
        return not self.problem

    @classmethod
    def of(
        cls,
        execution_id: UUID,
        exit_code: int,
        envelopes: Envelopes,
        delivery: Delivery,
        *,
        recorded: bool = True,
        problem: str = "",
        kept: Path | None = None,
        spooled_bytes: int = 0,
        thresholds: list[Threshold],
        summary: dict[str, Any] | None,
    ) -> "RunResult":
        """The result of a delivery that has ended."""
        return cls(
            execution_id=execution_id,
            exit_code=exit_code,
            read=envelopes.points,
            sent=delivery.points,
            malformed=envelopes.malformed,
            complaint=envelopes.complaint,
            adapted=envelopes.adapted,
            envelopes=delivery.envelopes,
            spooled_bytes=spooled_bytes,
            partitions=delivery.sent,
            recorded=recorded,
            problem=problem,
            kept=kept,
            metrics=envelopes.metrics,
            thresholds=thresholds,
            summary=summary,
        )
