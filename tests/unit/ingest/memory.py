"""The decoder's collaborators in memory, and records to feed it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import msgspec

from schemas.batches import Batch, Chunk, Claim, Source
from schemas.series import Key, Series
from schemas.window import Window
from sinks.series import PastLimit
from stream.ingest.decode import Decoder

TENANT = UUID("00000000-0000-0000-0000-000000000001")
NOW = 1_760_000_000_000_000
SOURCE = Source("samples", 0)


@dataclass
class MemoryRecord:
    """A Kafka record."""

    value: bytes | None
    offset: int = 0
    topic: str = SOURCE.topic
    partition: int = SOURCE.partition
    timestamp: int = NOW // 1000
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class MemoryDictionary:
    """Numbers series in the order they are seen; refuses those of the names in `refused`."""

    refused: set[str] = field(default_factory=set)
    remembered: dict[tuple[UUID, Key], PastLimit] = field(default_factory=dict)
    deletions: int = 0

    numbers: dict[tuple[UUID, bytes], int] = field(default_factory=dict)
    series: dict[int, Series] = field(default_factory=dict)
    cache: dict[UUID, dict[Key, int]] = field(default_factory=dict)

    def of(self, tenant: UUID) -> dict[Key, int]:
        """The cache of a tenant."""
        return self.cache.setdefault(tenant, {})

    def recall(self, tenant: UUID, key: Key) -> int | None:
        """There is no old generation here."""
        del tenant, key
        return None

    def refusal(self, tenant: UUID, key: Key) -> PastLimit | None:
        """What was refused before."""
        return self.remembered.get((tenant, key))

    async def epoch(self) -> int:
        """How often series were deleted."""
        return self.deletions

    def forget(self, epoch: int) -> None:
        """Empty the cache of then."""
        if epoch == self.deletions:
            self.cache.clear()
            self.remembered.clear()

    def remember(self, tenant: UUID, key: Key, found: int | PastLimit, epoch: int) -> None:
        """Cache a number or a refusal."""
        assert epoch == self.deletions
        if isinstance(found, PastLimit):
            self.remembered[tenant, key] = found
        else:
            self.of(tenant)[key] = found

    async def resolve(self, wanted: Sequence[Series]) -> list[int | PastLimit]:
        """Number these series."""
        found: list[int | PastLimit] = []
        for one in wanted:
            if one.name in self.refused:
                found.append(PastLimit("too_many_series", 7))
                continue
            number = self.numbers.setdefault(
                (one.tenant_id, one.fingerprint), len(self.numbers) + 1
            )
            self.series[number] = one
            found.append(number)
        return found


@dataclass
class MemoryTenants:
    """Knows `known`; a refresh learns `later`."""

    known: set[UUID] = field(default_factory=lambda: {TENANT})
    later: set[UUID] = field(default_factory=set)

    def find(self, spelling: str) -> UUID | None:
        """The tenant that this text names: for one text one object, as the real ones do."""
        return {str(tenant): tenant for tenant in self.known}.get(spelling)

    async def refresh(self, unknown: Collection[str] | None) -> bool:
        """Learn what there is to learn."""
        del unknown
        self.known |= self.later
        return True


def decoder(
    dictionary: MemoryDictionary | None = None, tenants: MemoryTenants | None = None
) -> Decoder:
    """A decoder at the moment NOW with a window of 30 days and 10 minutes."""
    window = Window(past=timedelta(days=30), future=timedelta(minutes=10))
    return Decoder(
        dictionary or MemoryDictionary(), tenants or MemoryTenants(), window, now=lambda: NOW
    )


def envelope(*metrics: object, **fields: object) -> bytes:
    """A JSON envelope of TENANT."""
    return msgspec.json.encode({"tenant_id": str(TENANT), "metrics": list(metrics), **fields})


def sample(**fields: object) -> dict[str, object]:
    """A good sample, but for what is given."""
    return {"name": "cpu", "value": 1.5, "labels": {"host": "a"}, "timestamp": NOW // 1000} | fields


async def decode(
    *values: bytes | MemoryRecord, dictionary: MemoryDictionary | None = None
) -> Batch:
    """Decode records at consecutive offsets as one chunk."""
    records = [v if isinstance(v, MemoryRecord) else MemoryRecord(v) for v in values]
    for offset, record in enumerate(records):
        record.offset = offset
    chunk = Chunk(SOURCE, Claim(0, len(records)), records)
    return await decoder(dictionary).decode([chunk])


def reasons(batch: Batch) -> list[tuple[int, int | None, str]]:
    """(offset, item, reason) of each reject, in order."""
    return sorted(
        ((r.record.offset, r.item, r.reason) for r in batch.rejects),
        key=lambda reject: (reject[0], -1 if reject[1] is None else reject[1]),
    )
