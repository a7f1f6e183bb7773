"""Publishes records and returns when the broker has them all, or says that it has not."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from aiokafka.structs import RecordMetadata

from producers.gateway.limits import Budget, Limits
from producers.steady import SteadyProducer, explained
from schemas.errors import Temporary


class Record(NamedTuple):
    """A record of the samples topic."""

    key: bytes
    value: bytes


class Publisher(Protocol):
    """Where the gateway puts records."""

    @property
    def problem(self) -> str:
        """Why nothing can be published now; empty when all is well."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged.

        Raises:
            Temporary: the broker is away, or did not acknowledge in time; some may be stored.
            Permanent: the broker refuses a record.
        """


class KafkaPublisher:
    """Publishes through a steady producer.

    Refuses at once what a broker known to be away would only delay: that refusal is sure, so the
    client's retry doubles nothing. Records still on their way when the time is up are stored later or
    not at all; they stay counted in the budget until then.
    """

    def __init__(
        self, producer: SteadyProducer, topic: str, limits: Limits, budget: Budget
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._limits = limits
        self._budget = budget

    @property
    def problem(self) -> str:
        """See `Publisher`."""
        return self._producer.problem

    async def publish(self, records: Sequence[Record]) -> None:
        """See `Publisher`."""
        if self.problem:
            raise Temporary(f"{self.problem}. Nothing was stored.", retry_after=2)
        deliveries: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(self._limits.acknowledge):
                for record in records:  # in order; what was handed over must survive the timeout
                    deliveries.append(await self._hand_over(record))  # noqa: PERF401 - for that
                # Not gather: it would cancel, and so forget, what is still on its way.
                await asyncio.wait(deliveries)
        except TimeoutError:
            raise Temporary(
                f"Kafka did not acknowledge within {self._limits.acknowledge:g} s. "
                + ("Some samples may be stored." if deliveries else "Nothing was stored."),
                retry_after=2,
            ) from None
        for delivery in deliveries:
            error = delivery.exception()
            if error is not None:
                raise explained(error) from error

    async def _hand_over(self, record: Record) -> "asyncio.Future[RecordMetadata]":
        with self._budget.held() as held:
            held.take(len(record.value))
            delivery = await self._producer.send(self._topic, record.value, record.key)
            outlasting = held.keep()
        delivery.add_done_callback(lambda _: outlasting.release())
        return delivery
