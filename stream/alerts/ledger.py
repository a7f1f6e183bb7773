"""Stores what a partition's engine remembers and says, all of it in one Kafka transaction, and reads it back.

Its transactional id belongs to the partition: who opens it fences whoever had it before. The position is
in the same transaction as what came of it, so that a change is published once whatever dies when.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from schemas.topics import Topics
from stream.core.changes import Changes
from stream.core.states import (
    CHECKPOINT,
    AlertState,
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
)

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between attempts while Kafka is away."""

_FENCED = (ProducerFenced, InvalidProducerEpoch)


class Lost(Exception):
    """Another process has the partition."""


@dataclass
class Stored:
    """What is stored of a partition."""

    checkpoint: Checkpoint | None = None
    states: dict[str, AlertState] = field(default_factory=dict)


class Ledger:
    """Of one partition; open it before anything else."""

    def __init__(self, kafka: str, topics: Topics, partition: int) -> None:
        self._kafka = kafka
        self._topics = topics
        self._partition = partition
        self._producer: AIOKafkaProducer | None = None
        self._closed = False

    async def open(self) -> Stored:
        """Take the partition from whoever has it, and read what is stored. Raises KafkaError."""
        await self._drop()
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka,
            transactional_id=f"{self._topics.prefix}headrace-alerts-{self._partition}",
            client_id="headrace-alerts",
            compression_type="lz4",
        )
        self._producer = producer
        await producer.start()
        return await self._read()

    async def commit(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Store and publish, however long Kafka is away. Raises Lost."""
        while not self._closed:
            try:
                await self._write(changes, checkpoint)
            except _FENCED as error:
                raise Lost(f"partition {self._partition} is another process's") from error
            except (KafkaError, OSError) as error:
                log.warning("Kafka did not take a transaction: %r", error)
                if await self._is_stored(checkpoint):
                    return
            else:
                return
        raise Lost(f"partition {self._partition} was given up")

    async def close(self) -> None:
        """Give the partition up; a transaction in hand is aborted by who takes over."""
        self._closed = True
        await self._drop()

    async def _is_stored(self, checkpoint: Checkpoint) -> bool:
        """Whether the transaction arrived although its answer did not. Raises Lost."""
        while not self._closed:
            await asyncio.sleep(PAUSE)
            try:
                stored = (await self.open()).checkpoint
            except (KafkaError, OSError) as error:
                log.warning("waiting for Kafka: %r", error)
                continue
            number = 0 if stored is None else stored.commit
            if stored == checkpoint:
                return True
            if number >= checkpoint.commit:
                raise Lost(f"partition {self._partition} went on without this process")
            return False
        raise Lost(f"partition {self._partition} was given up")

    async def _write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        producer, topics = self._producer, self._topics
        if producer is None:
            raise Lost(f"partition {self._partition} was given up")
        async with producer.transaction():
            for transition in changes.transitions:
                await producer.send(
                    topics.transitions,
                    transition.model_dump_json().encode(),
                    key=transition.key.encode(),
                )
            for key, state in changes.states.items():
                value = None if state is None else state.model_dump_json().encode()
                await self._keep(producer, key.encode(), value)
            await self._keep(producer, CHECKPOINT, encode_checkpoint(checkpoint))

    async def _keep(self, producer: AIOKafkaProducer, key: bytes, value: bytes | None) -> None:
        await producer.send(self._topics.alert_states, value, key=key, partition=self._partition)

    async def _read(self) -> Stored:
        stored = Stored()
        where = TopicPartition(self._topics.alert_states, self._partition)
        async with reader(self._kafka) as consumer:
            consumer.assign([where])
            await consumer.seek_to_beginning(where)
            end = (await consumer.end_offsets([where]))[where]
            while await consumer.position(where) < end:
                for record in (await consumer.getmany(where, timeout_ms=500)).get(where, []):
                    if record.key == CHECKPOINT:
                        stored.checkpoint = decode_checkpoint(record.value)
                    elif record.value is None:
                        stored.states.pop(record.key.decode(), None)
                    else:
                        state = AlertState.model_validate_json(record.value)
                        stored.states[record.key.decode()] = state
        return stored

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # One that is fenced or without a broker says so once more.
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await producer.stop()


@asynccontextmanager
async def reader(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer in no group, of what is committed. Raises KafkaError."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
