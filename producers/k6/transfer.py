"""One bridge at work: bytes to envelopes to spool to Kafka, and the run's two events around them."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from producers.k6 import kept
from producers.k6.delivery import Delivery, Destination
from producers.k6.envelopes import Envelopes
from producers.k6.spool import Spool, SpoolPolicy
from schemas.errors import Permanent
from schemas.runs import PartitionSent, RunAborted, RunFinished, RunStarted
from schemas.topics import Topics

Say = Callable[[str], None]
Copy = Callable[[Envelopes, Spool], None]
Ended = Callable[[list[PartitionSent]], RunFinished | RunAborted]


def _silent(_text: str) -> None:
    pass


class PointsLostError(Permanent):
    """Points that k6 wrote are neither in Kafka nor on disk. The text says how many and why."""


@dataclass(frozen=True)
class Target:
    """Where points go: a broker, its topics, and the run and runner that they belong to."""

    bootstrap: str
    topics: Topics
    tenant_id: UUID
    execution_id: UUID
    runner: str

    @property
    def source(self) -> str:
        """The envelopes' source: a run's points share a key, so that they stay in order."""
        return f"k6/{self.execution_id}/{self.runner}"

    @property
    def key(self) -> str:
        """The records' key."""
        return f"{self.tenant_id}/{self.source}"


class Transfer:
    """Made and used in one event loop; `copy` runs in a thread of its own."""

    def __init__(
        self,
        target: Target,
        *,
        spool: Path,
        policy: SpoolPolicy,
        since_ms: int,
        say: Say,
        imported: bool = False,
        in_doubt: bool = False,
    ) -> None:
        self._target, self._since_ms = target, since_ms
        self.envelopes = Envelopes(
            tenant_id=target.tenant_id, source=target.source, execution_id=target.execution_id
        )
        # A name of its own: an execution may have several runners on one machine.
        self._directory = spool / f"{target.execution_id}-{secrets.token_hex(3)}"
        # An import's source is a file: that reading waits for Kafka is nobody's concern.
        self.spool = Spool(self._directory, policy, _silent if imported else say)
        to = Destination(target.bootstrap, target.topics, target.key, imported=imported)
        self.delivery = Delivery(to, since_ms, say, in_doubt=in_doubt)
        self._announced: RunStarted | None = None
        """The event that is not published yet."""

    def begin(self, copy: Copy) -> None:
        """Start to copy and to deliver. `copy` closes the spool at its end, whatever happens."""
        self._copying = asyncio.create_task(asyncio.to_thread(copy, self.envelopes, self.spool))
        self._draining = asyncio.create_task(self.delivery.drain(self.spool))

    def announce(
        self, started: RunStarted, enriched: Callable[[], Awaitable[RunStarted]] | None = None
    ) -> "asyncio.Task[None]":
        """Start to publish that the run began, with what `enriched` adds to it if that comes in time."""
        self._announced = started
        self._announcing = asyncio.create_task(self._announce(enriched))
        return self._announcing

    async def idle(self) -> bool:
        """Whether the whole source gave no point; known at its end, or at its first point."""
        begun = asyncio.create_task(self.spool.begun.wait())
        await asyncio.wait({begun, self._copying}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        return not self.envelopes.points

    async def finish(self, ended: Ended) -> None:
        """Deliver what is left, then the event that ends the run.

        Raises:
            Permanent: Kafka refuses until a person acts.
            Exception: whatever `copy` raised, after what it had made is delivered.
        """
        self.delivery.patient = False
        await asyncio.gather(self._draining, self._announcing)
        await self._copying
        await self.delivery.publish(ended(self.delivery.sent))
        await self.delivery.stop()
        self.spool.discard()

    async def stop(self) -> None:
        """Stop delivering, after the copy has ended."""
        self.spool.lift_limit()
        self._draining.cancel()
        self._announcing.cancel()
        await asyncio.gather(
            self._draining, self._announcing, self._copying, return_exceptions=True
        )
        self._left = await self.delivery.stop()

    def keep(self, ended: Ended) -> Path:
        """Write what a stopped transfer did not deliver to disk; returns the directory.

        Raises:
            PointsLostError: the disk does not take it.
        """
        manifest = kept.Manifest(
            prefix=self._target.topics.prefix,
            key=self._target.key,
            since_ms=self._since_ms,
            first=self._left.first,
            in_doubt=self._left.in_doubt,
            points=self.undelivered,
            sent=self.delivery.sent,
            started=self._announced,
            ended=ended(self.delivery.sent),
        )
        try:
            self.spool.keep(self._left.envelopes)
            kept.write(self._directory, manifest)
        except OSError as error:
            raise PointsLostError(
                f"{self.undelivered:,} points of run {self._target.execution_id} ARE LOST: Kafka did not "
                f"take them and {self._directory} can't be written ({error.strerror})."
            ) from error
        return self._directory

    @property
    def undelivered(self) -> int:
        """Points read and not acknowledged."""
        return self.envelopes.points - self.delivery.points

    async def _announce(self, enriched: Callable[[], Awaitable[RunStarted]] | None) -> None:
        if enriched:
            self._announced = await enriched()
        if self._announced:
            await self.delivery.publish(self._announced)
        self._announced = None
