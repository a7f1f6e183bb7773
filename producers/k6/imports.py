"""Imports the file of a finished run: the same envelopes and events, with the file's own times.

The division into envelopes follows from the file alone. So an import that was interrupted is simply run
again: it finds its started event, asks which envelopes arrived, and sends the others.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from aiokafka.errors import KafkaError

from producers.k6 import runfile
from producers.k6.connection import Say
from producers.k6.csv_lines import CsvLines
from producers.k6.delivery import Delivery, Target
from producers.k6.doubt import published
from producers.k6.envelopes import Envelope, Envelopes
from producers.k6.outcome import RunResult
from producers.k6.urls import USUAL, Folding
from schemas.errors import Permanent, Temporary
from schemas.k6 import judged, named_urls, verdicts
from schemas.k6_metrics import MetricType, MetricTypes
from schemas.runs import RUN_EVENT, PartitionSent, RunFinished, RunStarted
from schemas.topics import Topics

RUNNER = "import"
"""The runner of every import: the same file again must give the same records."""

_CROSSED = 99
"""k6's exit code where a threshold was crossed."""


@dataclass(frozen=True)
class ImportConfig:
    """A file to import. `summary` is the run's --summary-export document, if there is one."""

    bootstrap: str
    topics: Topics
    tenant_id: UUID
    file: Path
    execution_id: UUID | None = None
    """By default one that follows from tenant and content."""
    test: str | None = None
    """By default the file's name without suffixes."""
    summary: Mapping[str, Any] | None = None
    types: Mapping[str, MetricType] = field(default_factory=dict)
    """Of metrics in a CSV file, where neither k6 nor the summary knows them."""
    tags: Mapping[str, str] = field(default_factory=dict)
    keep_raw: bool = False
    folding: Folding = USUAL


class _Lines:
    """The file's envelopes: a source that is read as Kafka takes them."""

    def __init__(self, envelopes: Iterator[Envelope]) -> None:
        self._envelopes = envelopes

    async def get(self) -> Envelope | None:
        await asyncio.sleep(0)  # the delivery goes on between two blocks
        return next(self._envelopes, None)


async def import_run(config: ImportConfig, *, say: Say, progress: runfile.Progress) -> RunResult:
    """Import a file; cancel it to stop, and run it again to go on.

    `progress` is told bytes done and in all, twice over the file: first it is examined, then sent.

    Raises:
        Permanent: the file is no run, or is imported already; Kafka refuses it.
        Temporary: Kafka is away.
    """
    stopping = threading.Event()

    def told(done: int, total: int) -> None:
        if stopping.is_set():  # a thread can't be cancelled
            raise Permanent("The import was stopped.")
        progress(done, total)

    try:
        file = await asyncio.to_thread(runfile.examine, config.file, told)
    except asyncio.CancelledError:
        stopping.set()
        raise
    execution_id = config.execution_id or file.execution_id(config.tenant_id)
    target = Target(
        config.bootstrap, config.topics, config.tenant_id, execution_id, RUNNER, imported=True
    )
    begun = await _begun(target)
    envelopes = _envelopes(config, target, csv=file.csv)
    delivery = Delivery(target, begun or 0, say, in_doubt=begun is not None)
    started = RunStarted(
        execution_id=execution_id,
        tenant_id=config.tenant_id,
        at=file.first,
        runner=RUNNER,
        test=config.test or config.file.name.split(".")[0],
        script=config.file.name,
        tags=dict(config.tags),
        keep_raw=config.keep_raw,
    )

    def read() -> Iterator[Envelope]:
        for block in runfile.blocks(config.file, progress):
            yield from envelopes.feed(block)
        yield from envelopes.end()

    def ended(sent: list[PartitionSent]) -> RunFinished:
        return RunFinished(
            execution_id=execution_id,
            tenant_id=config.tenant_id,
            at=datetime.fromisoformat(envelopes.latest),
            runner=RUNNER,
            topic=config.topics.samples,
            sent=sent,
            exit_code=_exit_code(config.summary),
            metrics=envelopes.metrics,
            thresholds=judged(envelopes.thresholds, config.summary),
            summary=dict(config.summary) if config.summary else None,
        )

    delivery.hurry()
    try:
        # First, because it is how a later attempt knows of this one.
        await delivery.publish(started)
        await delivery.drain(_Lines(read()))
        await delivery.publish(ended(delivery.sent))
    finally:
        await delivery.stop()
    return RunResult.of(
        execution_id,
        _exit_code(config.summary),
        envelopes,
        delivery,
        thresholds=judged(envelopes.thresholds, config.summary),
        summary=dict(config.summary) if config.summary else None,
    )


def _envelopes(config: ImportConfig, target: Target, *, csv: bool) -> Envelopes:
    run: Any = {
        "tenant_id": target.tenant_id,
        "source": target.source,
        "execution_id": target.execution_id,
        "folding": config.folding,
    }
    if not csv:
        return Envelopes(**run)
    envelopes = CsvLines(MetricTypes(config.summary, config.types), **run)
    envelopes.name(named_urls(config.summary))
    return envelopes


async def _begun(target: Target) -> int | None:
    """When an earlier import of the same began, in epoch milliseconds; None for the first.

    Raises Permanent where it is finished.
    """
    key = str(target.execution_id).encode()
    try:
        records = await published(target.bootstrap, target.topics.run_events, key)
    except KafkaError as error:
        raise Temporary(
            f"Kafka at {target.bootstrap} gives no answer ({error!r}): import again when it is there."
        ) from error
    ours = [
        (time, event)
        for time, value in records
        if (event := RUN_EVENT.validate_json(value)).runner == target.runner
    ]
    if any(isinstance(event, RunFinished) for _, event in ours):
        raise Permanent(
            f"Run {target.execution_id} is imported already. To have it twice, give --execution-id."
        )
    return min((time for time, _ in ours), default=None)


def _exit_code(summary: Mapping[str, Any] | None) -> int:
    return 0 if all(verdicts(summary or {}).values()) else _CROSSED
