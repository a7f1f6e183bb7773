"""Dead letters: the smallest bytes that failed, once each, within the topic's limits."""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from typing import Any

import pyarrow as pa

from schemas.batches import Reject
from schemas.series import key_text
from stream.ingest.dead_letters import MAX_VALUE, DeadLetters
from tests.unit.ingest.memory import MemoryRecord, envelope, sample
from tests.unit.ingest.test_decode import arrow


class MemoryProducer:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes | None, dict[str, str]]] = []

    async def send(
        self, topic: str, value: bytes | None, key: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Acknowledge at once."""
        del topic
        self.sent.append((key, value, {k: v.decode() for k, v in headers}))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def buried(*rejects: Reject) -> list[tuple[bytes, bytes | None, dict[str, str]]]:
    """What ends up in the topic."""
    producer = MemoryProducer()
    await DeadLetters(producer, "dlq").bury(rejects)
    return producer.sent


def reject(record: MemoryRecord, item: int | None) -> Reject:
    """A reject of a record or of one of its samples."""
    return Reject(record, item, "bad_value", "detail \udc80 with a surrogate")


async def test_a_bad_sample_is_cut_out_of_its_envelope() -> None:
    """Its own bytes, its place in the key, and what the envelope says of it in the headers."""
    record = MemoryRecord(envelope(sample(), sample(value="x"), source="agent"), offset=7)
    ((key, value, headers),) = await buried(reject(record, 1))
    assert key == b"samples/0/7/1"
    assert json.loads(value or b"") == sample(value="x")
    assert (headers["unit"], headers["source"], headers["reason"]) == (
        "sample",
        "agent",
        "bad_value",
    )


async def test_many_rejects_of_one_record_share_one_letter() -> None:
    """Ten thousand bad samples of one record are one copy of it, not ten thousand."""
    record = MemoryRecord(envelope(*[{}] * 10_000))
    ((key, value, headers),) = await buried(*(reject(record, item) for item in range(10_000)))
    assert (key, value) == (b"samples/0/0", record.value)
    assert headers["rejected"] == "10000"


async def test_a_record_that_cannot_be_cut_is_buried_once() -> None:
    """NaN makes the envelope no JSON; both its bad samples share the letter."""
    record = MemoryRecord(envelope(sample(), sample()).replace(b"1.5", b"NaN"))
    ((_, value, headers),) = await buried(reject(record, 0), reject(record, 1))
    assert value == record.value
    assert headers["items"] == "0,1"


async def test_a_row_of_an_arrow_envelope_travels_alone() -> None:
    """Without the dictionary of all the others."""
    record = arrow([key_text("cpu", {"host": str(i)}) for i in range(1000)], [1.0] * 1000)
    ((_, value, headers),) = await buried(reject(record, 3))
    row = pa.ipc.open_stream(value).read_all()
    assert row["series"].to_pylist() == [key_text("cpu", {"host": "3"})]
    assert len(value or b"") < 2000
    assert headers["content-type"] == "application/vnd.apache.arrow.stream"


async def test_a_record_larger_than_the_topic_takes_is_cut_and_says_so() -> None:
    """And one without a value is no tombstone."""
    large = MemoryRecord(b"x" * (MAX_VALUE + 1))
    letters = await buried(reject(large, None), reject(MemoryRecord(None, offset=1), None))
    assert [len(value or b"") for _, value, _ in letters] == [MAX_VALUE, 0]
    assert letters[0][2]["truncated"] == str(MAX_VALUE + 1)
    assert letters[1][1] == b""
