"""The outbox: bounded, in order, and no loss that is not told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import InvalidTopicError, OutOfOrderSequenceNumber

from producers.sdk.outbox import Outbox
from schemas.errors import Permanent, Temporary


class MemorySender:
    """Takes records over in memory; the test settles them."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, asyncio.Future[Any]]] = []
        self.refusals = 0
        self.reconnected = asyncio.Event()
        self.arrived = asyncio.Condition()

    async def connected(self) -> None:
        """Wait for the test to say so."""
        await self.reconnected.wait()

    async def send(self, topic: str, value: bytes, key: bytes) -> "asyncio.Future[Any]":
        """Take a record, or refuse it while the test wants that."""
        assert (topic, key) == ("t", b"k")
        if self.refusals:
            self.refusals -= 1
            raise Temporary("away")
        delivery: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with self.arrived:
            self.taken.append((value, delivery))
            self.arrived.notify_all()
        return delivery

    async def have(self, count: int) -> None:
        """Wait until so many records were taken."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.taken) >= count)


@asynccontextmanager
async def running(sender: MemorySender, capacity: int = 100) -> AsyncIterator[Outbox]:
    outbox = Outbox(sender, "t", b"k", capacity=capacity)
    task = asyncio.create_task(outbox.run())
    yield outbox
    task.cancel()
    await asyncio.wait([task])


async def test_records_leave_in_order_and_settle_when_acknowledged() -> None:
    """`settled` waits for the acknowledgements of what was queued before it, and of nothing later."""
    sender = MemorySender()
    async with running(sender) as outbox:
        outbox.put(b"1", 10)
        outbox.put(b"2", 20)
        settled = asyncio.create_task(outbox.settled())
        await sender.have(2)
        outbox.put(b"3", 5)
        await sender.have(3)
        assert [value for value, _ in sender.taken] == [b"1", b"2", b"3"]
        assert not settled.done()
        for _, delivery in sender.taken[:2]:
            delivery.set_result(None)
        await settled
        outbox.check()
        assert outbox.unsettled == 5


async def test_a_full_outbox_makes_its_callers_wait() -> None:
    """The wait ends when the broker acknowledged enough."""
    sender = MemorySender()
    async with running(sender, capacity=4) as outbox:
        outbox.put(b"1234", 1)
        assert outbox.calls
        waiting = asyncio.create_task(outbox.answer())
        await sender.have(1)
        assert not waiting.done()
        sender.taken[0][1].set_result(None)
        await waiting
        assert not outbox.calls


async def test_a_record_that_was_not_taken_over_is_sent_again_in_its_place() -> None:
    """Two refusals and a new connection later, the order is what it was."""
    sender = MemorySender()
    sender.refusals = 2
    async with running(sender) as outbox:
        outbox.put(b"1", 1)
        outbox.put(b"2", 1)
        sender.reconnected.set()
        await sender.have(2)
        assert [value for value, _ in sender.taken] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("error", "told"), [(InvalidTopicError(), Permanent), (OutOfOrderSequenceNumber(), Temporary)]
)
async def test_a_refused_record_is_told_once_with_its_samples(
    error: Exception, told: type[Exception]
) -> None:
    """All losses since the last call are in one error; then the outbox works on."""
    sender = MemorySender()
    async with running(sender) as outbox:
        outbox.put(b"1", 10)
        outbox.put(b"2", 20)
        await sender.have(2)
        for _, delivery in sender.taken:
            delivery.set_exception(error)
        await outbox.settled()
        with pytest.raises(told, match="30 samples were not stored"):
            await outbox.answer()
        outbox.check()
        assert outbox.unsettled == 0
