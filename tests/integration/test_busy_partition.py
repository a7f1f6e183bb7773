"""A busy partition among idle ones is fetched without a pause, however slowly its records are taken."""

import asyncio
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from faust.types import TP

from deploy.consuming import leave
from producers.kafka import close_producer, make_producer
from producers.topics import create_topics
from schemas.batches import Source
from schemas.topics import Topics
from stream.ingest.app import Consuming, create_app
from stream.ingest.chunks import ChunkedConsumer
from stream.ingest.pipeline import Delivered

PARTITIONS = 4
RECORDS = 48
RECORD = token_bytes(256 * 1024)
"""Of noise: what compresses comes all at once."""


class FromTheStart:
    """Positions of a database that knows nothing yet."""

    async def starts(
        self, earliest: dict[Source, int], ends: dict[Source, int]
    ) -> dict[Source, int]:
        """The first offset of each partition."""
        assert earliest.keys() == ends.keys()
        return earliest


class Slow:
    """Takes each chunk in longer than the client waits for before it fetches for others."""

    def __init__(self) -> None:
        self.records = 0
        self.all_taken = asyncio.Event()

    async def put(self, delivered: Delivered) -> None:
        """Take a chunk."""
        await asyncio.sleep(0.15)  # a batch that is written
        self.records += len(delivered.chunk.records)
        delivered.ack()
        if self.records == RECORDS:
            self.all_taken.set()


async def test_every_wait_and_every_fetch_is_for_the_busy_partition_too(
    kafka: str, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next of its records waits for what never comes to the others: 1 or 1.5 seconds each time."""
    await create_topics(kafka, topics.specs(PARTITIONS), 1)
    producer = make_producer(kafka, client_id="test")
    await producer.start()
    for _ in range(RECORDS):
        await producer.send(topics.samples, RECORD, partition=0)
    await close_producer(producer, timeout=10)

    busy = TP(topics.samples, 0)
    fetched: list[bool] = []
    waited: list[bool] = []
    take = Slow()
    fetch, wait = Fetcher._proc_fetch_request, ChunkedConsumer._getmany  # noqa: SLF001 # what goes out to the broker, and what is asked of it

    async def watched_fetch(fetcher: Fetcher, assignment: Any, node: int, request: Any) -> Any:
        if not take.all_taken.is_set():
            asked = {TP(topic, one[0]) for topic, ones in request.topics for one in ones}
            fetched.append(busy in asked)
        return await fetch(fetcher, assignment, node, request)

    async def watched_wait(consumer: ChunkedConsumer, **asked: Any) -> Any:
        if not take.all_taken.is_set():
            waited.append(busy in asked["active_partitions"])
        return await wait(consumer, **asked)

    monkeypatch.setattr(Fetcher, "_proc_fetch_request", watched_fetch)
    monkeypatch.setattr(ChunkedConsumer, "_getmany", watched_wait)
    consuming = Consuming(kafka, f"{topics.prefix}busy", topics.samples)
    app = create_app(consuming, FromTheStart(), take, tmp_path)
    app.finalize()
    await app.start()
    try:
        async with asyncio.timeout(60):
            await take.all_taken.wait()
    finally:
        app.consumer.stop_flow()
        await leave(app)
    assert len(fetched) > RECORDS / 5, "a fetch brings a megabyte"
    assert all(fetched)
    assert all(waited)
