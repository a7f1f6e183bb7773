"""What an acknowledgement is worth: the promises of `producers.kafka` on a broker that is mistreated."""

import asyncio
import hashlib
import logging
from pathlib import Path

import pytest
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
)
from aiokafka.structs import TopicPartition

from producers import kafka as kafka_module
from producers.kafka import close_producer, make_producer
from producers.steady import SteadyProducer, explained
from producers.topics import create_topics
from schemas.errors import Permanent, Temporary
from schemas.topics import Topics, TopicSpec
from tests.brokers import private_broker
from tests.kafka_log import records_of


class _Retries(logging.Handler):
    """Hears aiokafka say that a request failed and is tried again."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "error produce response" in text:
            self.heard.put_nowait(text)


async def _until_retried(times: int) -> None:
    logger, retries = logging.getLogger("aiokafka"), _Retries()
    logger.addHandler(retries)
    try:
        for _ in range(times):
            await retries.heard.get()
    finally:
        logger.removeHandler(retries)


async def test_outages_neither_lose_nor_double(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen beyond two request timeouts, killed, started again: each record is once in the log, in order."""
    monkeypatch.setattr(kafka_module, "_REQUEST_TIMEOUT_MS", 2_000)
    async with private_broker(tmp_path) as broker:
        await create_topics(broker.bootstrap, [TopicSpec("t", 1)], 1)
        producer = make_producer(broker.bootstrap, client_id="test")
        await producer.start()
        stop = asyncio.Event()

        async def send() -> list["asyncio.Future[object]"]:
            sent: list[asyncio.Future[object]] = []
            while not stop.is_set():
                try:
                    sent.append(await producer.send("t", b"%d" % len(sent)))
                except KafkaError:
                    continue  # not taken over: the same number is sent again
                if len(sent) % 20 == 0:
                    await asyncio.wait(sent[-1:], timeout=0.01)  # a pace, not a wait for anything
            return sent

        sending = asyncio.create_task(send())
        broker.freeze()
        await _until_retried(2)
        broker.thaw()
        await asyncio.wait([await producer.send("t", b"thawed")])
        broker.kill()
        await _until_retried(3)
        await broker.start()
        stop.set()
        sent = await sending
        await asyncio.wait(sent)
        await producer.stop()
        log = [record.value for record in await records_of(broker.bootstrap, "t")]
        log.remove(b"thawed")

    assert all(future.exception() is None for future in sent)
    assert log == [b"%d" % number for number in range(len(sent))]


async def test_a_batch_without_a_leader_does_not_expire(kafka: str) -> None:
    """An old batch waits for its leader. As long as aiokafka itself would drop it, our line is needed."""
    producer = make_producer(kafka, client_id="test")
    accumulator = producer._message_accumulator  # noqa: SLF001 # the private API that we lean on
    producer._txn_manager.set_pid_and_epoch(1, 0)  # noqa: SLF001 # as if it had been started
    topic = Topics(prefix="leaderless.").samples
    ours = await accumulator.add_message(TopicPartition(topic, 0), None, b"x", timeout=1)
    accumulator._batch_ttl = -1.0  # noqa: SLF001 # older than any time limit
    theirs = await accumulator.add_message(TopicPartition(topic, 1), None, b"x", timeout=1)

    accumulator.drain_by_nodes(ignore_nodes=[])
    await producer.stop()

    assert not ours.done()
    assert isinstance(theirs.exception(), NotLeaderForPartitionError)


async def test_a_refused_record_breaks_its_producer_and_a_steady_one_recovers(
    kafka: str, topics: Topics
) -> None:
    """After a refusal aiokafka's producer fails for ever in that partition; SteadyProducer makes a new one."""
    spec = TopicSpec(topics.samples, 1, {"max.message.bytes": "1000"})
    await create_topics(kafka, [spec], 1)
    # Bytes that compression can't make smaller than the topic's limit.
    large = hashlib.shake_256(b"").digest(5000)

    producer = make_producer(kafka, client_id="test")
    await producer.start()
    await producer.send_and_wait(topics.samples, b"first")
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topics.samples, large)
    with pytest.raises(OutOfOrderSequenceNumber):
        await producer.send_and_wait(topics.samples, b"small")
    await producer.stop()

    steady = SteadyProducer(kafka, [topics.samples], client_id="test")
    steady.start()
    await steady.connected()
    await (await steady.send(topics.samples, b"second", b"k"))
    refused = await steady.send(topics.samples, large, b"k")
    with pytest.raises(KafkaError) as refusal:
        await refused
    await steady.connected()
    await (await steady.send(topics.samples, b"third", b"k"))
    await steady.close(timeout=10)
    values = [record.value for record in await records_of(kafka, topics.samples)]

    assert isinstance(explained(refusal.value), Permanent)
    assert values == [b"first", b"second", b"third"]


async def test_closing_ends_in_time_while_the_broker_is_frozen(tmp_path: Path) -> None:
    """What a frozen broker has not acknowledged is told, and the process may go."""
    async with private_broker(tmp_path) as broker:
        await create_topics(broker.bootstrap, [TopicSpec("t", 1)], 1)
        producer = make_producer(broker.bootstrap, client_id="test")
        await producer.start()
        broker.freeze()
        delivery = await producer.send("t", b"x")

        async with asyncio.timeout(5):
            with pytest.raises(Temporary, match="did not acknowledge"):
                await close_producer(producer, timeout=1)

        assert isinstance(delivery.exception(), KafkaError)
