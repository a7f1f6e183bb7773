"""Publishes what the consumer found: envelopes with their marks, run events, dead letters.

Nothing is sent twice here. When the broker refuses or is away, the producer is given up with all that it
had in hand, and the consumer begins anew with what Kafka then holds.
"""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from producers.k6.envelopes import Envelopes
from producers.k6.source.boundaries import Run
from producers.k6.source.marks import Mark, Positions
from producers.k6.source.messages import Item
from producers.k6.urls import Folding
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Invalid
from schemas.k6 import Point
from schemas.runs import RUN_EVENT, PartitionSent, RunFinished, RunStarted
from schemas.topics import MAX_RECORD_BYTES, Topics

RUNNER = "kafka"
"""The runner of every run that is taken from a topic."""

_POINTS = 400
"""In one envelope: 100 to 500 is where the cost of a record no longer shows."""

_GROWTH, _EACH = 6, 256
"""An envelope takes at most so many times the bytes of its messages (a control character in an influx
line becomes six), and so many more for each (rules may lengthen a URL)."""

_MAX_DETAIL = 500
_MAX_BURIED = 1024 * 1024


def key_of(tenant_id: UUID) -> str:
    """The envelopes' key, with `{}` for the run's id."""
    return f"{tenant_id}/k6/{{}}/{RUNNER}"


class Outgoing:
    """An open run's way to Kafka. A chunk of its points becomes one envelope with the mark behind them."""

    def __init__(
        self, run: Run, tenant_id: UUID, mark: Mark, last_offset: int | None, folding: Folding
    ) -> None:
        self.run = run
        self.key = key_of(tenant_id).format(run.execution_id).encode()
        self.partition, self.points = mark.partition, mark.points
        self.metrics = dict(mark.metrics)
        self.last_offset = last_offset
        self._group = mark.group
        self._chunk: list[Point] = []
        self._bytes = 0
        self._envelopes = Envelopes(
            tenant_id=tenant_id,
            source=f"k6/{run.execution_id}/{RUNNER}",
            execution_id=run.execution_id,
            folding=folding,
        )

    def add(self, point: Point, size: int) -> None:
        """Put a point into the chunk."""
        self._chunk.append(point)
        self._bytes += size * _GROWTH + _EACH
        self.points += 1

    def full_with(self, size: int) -> bool:
        """Whether the chunk must be sent before a message of this size: it must be one record."""
        grown = self._bytes + size * _GROWTH + _EACH
        return len(self._chunk) == _POINTS or (bool(self._chunk) and grown > MAX_RECORD_BYTES)

    def envelope(self) -> bytes | None:
        """The chunk as a record's value; None where there is nothing."""
        chunk, self._chunk, self._bytes = self._chunk, [], 0
        return self._envelopes.pack(chunk) if chunk else None

    def mark(self) -> Mark:
        """The run as it stands."""
        run = self.run
        return Mark(
            self._group,
            run.tag,
            self.partition,
            Positions(run.next),
            run.first,
            run.latest,
            self.points,
            self.metrics,
        )


class Publisher:
    """Sends through one producer. `settled` tells when all is acknowledged; any KafkaError is the end of it."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, tenant_id: UUID) -> None:
        self._producer, self._topics, self._tenant_id = producer, topics, tenant_id
        self._pending: list[tuple[Awaitable[Any], Outgoing | None]] = []

    async def open(self, run: Run, group: str, started: RunStarted, folding: Folding) -> Outgoing:
        """Announce a run, before its first point: that is how a later attempt knows of it."""
        partitions = sorted(await self._producer.partitions_for(self._topics.samples))
        key = key_of(self._tenant_id).format(run.execution_id).encode()
        partition = DefaultPartitioner()(key, partitions, [])
        mark = Mark(group, run.tag, partition, {}, run.first, run.latest)
        await self._publish(started, mark)
        return Outgoing(run, self._tenant_id, mark, None, folding)

    async def send(self, out: Outgoing) -> None:
        """Send a run's chunk."""
        if (value := out.envelope()) is not None:
            future = await self._producer.send(
                self._topics.samples,
                value,
                key=out.key,
                partition=out.partition,
                headers=[out.mark().header(), (IMPORT_HEADER, b"1")],
            )
            self._pending.append((future, out))

    async def bury(self, item: Item, invalid: Invalid) -> None:
        """Publish a message that is no point as a dead letter, in the form that ingest gives to its own."""
        message, value = item.message, item.message.value
        headers = {
            "reason": invalid.reason,
            "detail": str(invalid)[:_MAX_DETAIL],
            "unit": "record",
            "source-topic": message.topic,
            "source-partition": str(message.partition),
            "source-offset": str(message.offset),
            "source-timestamp-ms": str(message.timestamp),
            "tenant_id": str(self._tenant_id),
        }
        if value is not None and len(value) > _MAX_BURIED:
            headers["truncated"] = str(len(value))
            value = value[:_MAX_BURIED]
        future = await self._producer.send(
            self._topics.dead_letters,
            value,
            key=f"{message.topic}/{message.partition}/{message.offset}".encode(),
            headers=[(k, v.encode(errors="backslashreplace")) for k, v in headers.items()],
        )
        self._pending.append((future, None))

    async def settled(self) -> None:
        """Return when everything sent so far is acknowledged. Raises KafkaError."""
        pending, self._pending = self._pending, []
        done = await asyncio.gather(*[future for future, _ in pending])
        for record, (_, out) in zip(done, pending, strict=True):
            if out is not None:
                out.last_offset = record.offset

    async def close(self, out: Outgoing) -> None:
        """Send what is left of a run and say that it is over."""
        await self.send(out)
        await self.settled()
        sent = []
        if out.last_offset is not None:
            last = {"points": out.points, "last_offset": out.last_offset}
            sent = [PartitionSent(partition=out.partition, **last)]
        finished = RunFinished(
            execution_id=out.run.execution_id,
            tenant_id=self._tenant_id,
            at=datetime.fromtimestamp(out.run.latest, UTC),
            runner=RUNNER,
            topic=self._topics.samples,
            sent=sent,
            exit_code=0,
            metrics=out.metrics,
            thresholds=[],
        )
        await self._publish(finished, out.mark())

    async def _publish(self, event: RunStarted | RunFinished, mark: Mark) -> None:
        await self._producer.send_and_wait(
            self._topics.run_events,
            RUN_EVENT.dump_json(event),
            key=str(event.execution_id).encode(),
            headers=[mark.header()],
        )
