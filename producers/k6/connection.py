"""One Kafka producer at a time for a bridge, made anew whenever it broke, for as long as it takes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, UnknownTopicOrPartitionError

from producers.kafka import close_producer, make_producer
from schemas.errors import Permanent, Temporary

_RETRY = 1.0
"""Seconds between attempts."""

_CLOSING = 3.0
"""Seconds that a producer gets to have its last requests acknowledged."""

Found = TypeVar("Found")
Say = Callable[[str], None]


class Connection:
    """Several tasks may work through it at once."""

    def __init__(self, bootstrap: str, warn: Say, max_record_bytes: int) -> None:
        self._bootstrap, self._warn, self._max_record_bytes = bootstrap, warn, max_record_bytes
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._warned = False
        self.patient = True
        """Whether to go on after an error that only a person can mend: yes while k6 runs."""

    async def steadily(self, work: Callable[[AIOKafkaProducer], Awaitable[Found]]) -> Found:
        """Do this with a working producer, again and again until it succeeds.

        Raises:
            Permanent: it can't until a person acts, and `patient` is off.
        """
        while True:
            producer = await self._connected()
            try:
                return await work(producer)
            except KafkaError as error:
                await self.discard(producer)
                await self._trouble(error)

    async def discard(self, producer: AIOKafkaProducer) -> None:
        """Close a producer that is of no further use; nothing where that is done already."""
        if self._producer is producer:
            self._producer = None
            with contextlib.suppress(KafkaError, Temporary):
                await close_producer(producer, timeout=_CLOSING)

    async def close(self) -> None:
        """Close, waiting a little for outstanding acknowledgements."""
        if self._producer is not None:
            await self.discard(self._producer)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            while self._producer is None:
                producer = make_producer(
                    self._bootstrap,
                    client_id="headrace-k6",
                    max_record_bytes=self._max_record_bytes,
                )
                try:
                    await producer.start()
                except KafkaError as error:
                    await producer.stop()
                    await self._trouble(error)
                except BaseException:
                    await producer.stop()
                    raise
                else:
                    self._producer = producer
            return self._producer

    async def _trouble(self, error: KafkaError) -> None:
        """Wait before the next attempt; say once that there is a problem."""
        absent = isinstance(error, UnknownTopicOrPartitionError)
        what = (
            "has no such topic: run `headrace migrate`"
            if absent
            else f"gives no answer ({error!r})"
        )
        problem = f"Kafka at {self._bootstrap} {what}"
        # What an earlier refusal has broken, a new producer mends.
        mends = error.retriable or isinstance(error, OutOfOrderSequenceNumber)
        if not self.patient and (absent or not mends):
            raise Permanent(problem)
        if not self._warned:
            self._warned = True
            self._warn(f"{problem}. Points wait on disk; delivery is tried again and again.")
        await asyncio.sleep(_RETRY)
