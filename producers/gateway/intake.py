"""One request's way: body, samples, envelopes, Kafka, and what is counted on it."""

from collections.abc import Callable
from uuid import UUID

from fastapi import Request

from producers.envelopes import pack, record_key
from producers.gateway.bodies import read_body
from producers.gateway.documents import Accepted
from producers.gateway.faults import LISTED, BadSamplesError
from producers.gateway.limits import Budget, Limits
from producers.gateway.publishing import Publisher, Record
from producers.gateway.reading import Reader, Reading
from producers.gateway.telemetry import Telemetry


class Intake:
    """Takes samples of any tenant."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        reader: Reader,
        limits: Limits,
        budget: Budget,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._reader = reader
        self._limits = limits
        self._budget = budget
        self._telemetry = telemetry
        self._clock = clock

    async def sample(self, request: Request, tenant: UUID) -> Accepted:
        """Take a lone sample."""
        return await self._take(request, tenant, self._reader.sample, partial=False)

    async def batch(self, request: Request, tenant: UUID, *, partial: bool) -> Accepted:
        """Take a batch; with `partial`, its good samples."""
        return await self._take(request, tenant, self._reader.batch, partial=partial)

    async def _take(
        self,
        request: Request,
        tenant: UUID,
        read: Callable[[bytes, int], Reading],
        *,
        partial: bool,
    ) -> Accepted:
        with self._budget.held() as held:
            body = await read_body(request, self._limits, held)
            reading = read(body, int(self._clock() * 1_000_000))
            for fault in reading.faults:
                self._telemetry.refused.labels(fault.reason).inc()
            if reading.faults and not (partial and reading.good):
                raise BadSamplesError(reading.faults, reading.count)
            await self._publisher.publish(self._records(str(tenant), reading))
        accepted = reading.count - len(reading.faults)
        self._telemetry.accepted.inc(accepted)
        return Accepted(
            accepted=accepted, refused=len(reading.faults), errors=reading.faults[:LISTED]
        )

    def _records(self, tenant: str, reading: Reading) -> list[Record]:
        return [
            Record(record_key(tenant, source), value)
            for source, samples in reading.good.items()
            for value, _ in pack(tenant, source, samples, most=self._limits.envelope)
        ]
