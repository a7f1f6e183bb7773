"""Holds sealed records, bounded in bytes, until the broker has each of them or its loss is told."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from aiokafka.structs import RecordMetadata

from producers.steady import explained
from schemas.errors import Permanent, Temporary


class Sender(Protocol):
    """What the outbox needs of `producers.steady.SteadyProducer`."""

    async def connected(self) -> None:
        """Wait until a record can be sent."""

    def send(
        self, topic: str, value: bytes, key: bytes
    ) -> Awaitable["asyncio.Future[RecordMetadata]"]:
        """Take a record over; the future is its delivery."""


class _Record(NamedTuple):
    value: bytes
    samples: int
    settled: "asyncio.Future[None]"


class Outbox:
    """Sends records in order, retrying for ever while the broker is away."""

    def __init__(self, sender: Sender, topic: str, key: bytes, *, capacity: int) -> None:
        self._sender = sender
        self._topic = topic
        self._key = key
        self._capacity = capacity
        self.calls = False
        """Whether `answer` has something to do: read once a sample, so not a property."""
        self._queue: deque[_Record] = deque()
        self._unsettled: dict[asyncio.Future[None], _Record] = {}
        self._bytes = 0
        self._queued = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._lost = 0
        self._cause: Temporary | Permanent | None = None

    @property
    def unsettled(self) -> int:
        """Samples that are neither acknowledged nor told as lost."""
        return sum(record.samples for record in self._unsettled.values())

    def put(self, value: bytes, samples: int) -> None:
        """Queue a record; never waits: `answer` does."""
        record = _Record(value, samples, asyncio.get_running_loop().create_future())
        self._queue.append(record)
        self._unsettled[record.settled] = record
        self._bytes += len(value)
        if self._bytes >= self._capacity:
            self._room.clear()
            self.calls = True
        self._queued.set()

    async def answer(self) -> None:
        """Wait while the outbox is full, and raise as `check` does."""
        self.check()
        await self._room.wait()
        self.check()
        self.calls = False

    async def settled(self) -> None:
        """Wait until everything queued before this call is acknowledged or lost."""
        if self._unsettled:
            await asyncio.wait(list(self._unsettled))

    def check(self) -> None:
        """Raise what became of samples since the last call, if any were lost.

        Raises:
            Temporary: the same samples may be sent again.
            Permanent: Kafka refuses them.
        """
        lost, cause = self._lost, self._cause
        if cause is not None:
            self._lost, self._cause = 0, None
            raise type(cause)(f"{lost} samples were not stored. {cause}") from cause

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                await self._hand_over(self._queue[0])
                self._queue.popleft()

    async def _hand_over(self, record: _Record) -> None:
        while True:
            try:
                delivery = await self._sender.send(self._topic, record.value, self._key)
            except Temporary:
                await self._sender.connected()
            except Permanent as error:
                self._settle(record, error)
                return
            else:
                delivery.add_done_callback(lambda future: self._delivered(record, future))
                return

    def _delivered(self, record: _Record, delivery: "asyncio.Future[RecordMetadata]") -> None:
        error = delivery.exception()
        self._settle(record, None if error is None else explained(error))

    def _settle(self, record: _Record, error: Temporary | Permanent | None) -> None:
        del self._unsettled[record.settled]
        record.settled.set_result(None)
        self._bytes -= len(record.value)
        if self._bytes < self._capacity:
            self._room.set()
        if error is not None:
            self.calls = True
            self._lost += record.samples
            self._cause = self._cause or error
