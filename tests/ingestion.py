"""A topic and a database to ingest into, and the count of what arrived."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.kafka import close_producer, make_producer
from producers.topics import create_topics
from schemas.topics import Topics
from sinks.database import connect_pool

PARTITIONS = 4
ARRIVES_WITHIN = 90.0


@dataclass(frozen=True)
class Bench:
    """A tenant, topics and a database of one test."""

    kafka: str
    dsn: str
    topics: Topics
    tenant: UUID
    pool: "asyncpg.Pool[asyncpg.Record]"

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a headrace process that works here."""
        return {
            "HEADRACE_KAFKA": self.kafka,
            "HEADRACE_DATABASE": self.dsn,
            "HEADRACE_TEMPORAL": "unused:0",
            "HEADRACE_TOPIC_PREFIX": self.topics.prefix,
            # A group of its own: a process that another test killed would be waited for.
            "HEADRACE_CONSUMER_GROUP": f"{self.topics.prefix}ingest",
            **more,
        }

    async def produce(self, values: Iterable[bytes | None], headers: Any = ()) -> None:
        """Write records, one partition after the other; return when all are acknowledged."""
        producer = make_producer(self.kafka, client_id="test")
        await producer.start()
        try:
            for index, value in enumerate(values):
                await producer.send(
                    self.topics.samples, value, partition=index % PARTITIONS, headers=list(headers)
                )
            await producer.flush()
        finally:
            await close_producer(producer, timeout=10)

    async def ledger(self) -> dict[str, int]:
        """Totals of the ledger."""
        row = await self.pool.fetchrow(
            "SELECT coalesce(sum(received), 0)::bigint AS received, coalesce(sum(stored), 0)::bigint AS stored,"
            " coalesce(sum(deduplicated), 0)::bigint AS deduplicated,"
            " coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered,"
            " coalesce(sum(rejected), 0)::bigint AS rejected, coalesce(sum(lost), 0)::bigint AS lost"
            " FROM ledger"
        )
        return dict(row)

    async def arrived(
        self, samples: int, dead_lettered: int = 0, rejected: int = 0
    ) -> dict[str, int]:
        """Wait until the ledger counts so many samples, and return it."""
        async with asyncio.timeout(ARRIVES_WITHIN):
            while True:
                ledger = await self.ledger()
                if (
                    ledger["stored"] >= samples
                    and ledger["dead_lettered"] >= dead_lettered
                    and ledger["rejected"] >= rejected
                ):
                    return ledger
                await asyncio.sleep(0.05)

    async def handled(self, samples: int) -> dict[str, int]:
        """Wait until so many samples are stored, dead-lettered or rejected, and return the ledger."""
        async with asyncio.timeout(ARRIVES_WITHIN):
            while True:
                ledger = await self.ledger()
                if ledger["received"] - ledger["deduplicated"] >= samples:
                    return ledger
                await asyncio.sleep(0.05)

    async def stored_at_least(self, samples: int) -> None:
        """Wait until some samples are stored."""
        await self.arrived(samples)

    async def rows(self) -> int:
        """Rows of samples."""
        return int(await self.pool.fetchval("SELECT count(*) FROM samples"))

    async def dead_letters(self) -> list[Any]:
        """Every record of the dead-letter topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partition = TopicPartition(self.topics.dead_letters, 0)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[Any] = []
            while await consumer.position(partition) < end:
                found += (await consumer.getmany(timeout_ms=500)).get(partition, [])
            return found
        finally:
            await consumer.stop()


@asynccontextmanager
async def ingestion(kafka: str, dsn: str, topics: Topics) -> AsyncIterator[Bench]:
    """Topics and a tenant in a migrated database."""
    await create_topics(kafka, topics.specs(PARTITIONS), 1)
    pool = await connect_pool(dsn, role=None, application="test")
    try:
        tenant = await pool.fetchval(
            "INSERT INTO tenants (name) VALUES ('test') RETURNING tenant_id"
        )
        yield Bench(kafka, dsn, topics, tenant, pool)
    finally:
        await pool.close()
