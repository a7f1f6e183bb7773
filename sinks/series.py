"""The series dictionary: a bounded cache before the table that gives each series its number."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import asyncpg

from schemas.errors import Invalid
from schemas.named_queries import load
from schemas.series import Key, Series

_SQL = load("sinks.sql", "ingest.sql")


class TenantGone(Exception):
    """A tenant that owns a new series was deleted: read the tenants again."""


class PastLimit(Invalid):
    """A new series that a limit of its tenant keeps out; the series that are there go on.

    `reason` is too_many_series or too_many_label_values.
    """

    def __init__(self, reason: str, at_most: int) -> None:
        what = "series a tenant" if reason == "too_many_series" else "values a label"
        super().__init__(reason, f"a new series, past the limit of {at_most:,} {what}")


@dataclass(frozen=True)
class Limits:
    """What tenants without limits of their own may have, and how long a refusal is believed."""

    series: int = 1_000_000
    label_values: int = 100_000
    """Of each label of a metric."""
    believed: float = 60.0
    """Seconds after which a refused series asks again; at once when limits or definitions change."""
    remembered: int = 50_000
    """Refused spellings kept, by hash: about 10 MB."""


class SeriesDictionary:
    """Series numbers by tenant and spelling.

    Bounded by two generations: when the young one holds `limit` spellings or `limit_bytes` of them it
    becomes the old one and what nobody asks for again is dropped with it. A hit costs one dict look-up;
    nothing is kept in order.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        limits: Limits = Limits(),
        *,
        limit: int = 100_000,
        limit_bytes: int = 32 << 20,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._epoch: int | None = None
        self._refused: dict[bytes, tuple[float, PastLimit]] = {}
        self._full: dict[UUID, tuple[float, int]] = {}
        self._clear()

    def _clear(self) -> None:
        self._size = self._bytes = 0
        self._young: dict[UUID, dict[Key, int]] = {}
        self._old: dict[UUID, dict[Key, int]] = {}

    async def epoch(self) -> int:
        """The epoch that what is cached is good for. Raises what asyncpg raises."""
        if self._epoch is None:
            self._epoch = await self._pool.fetchval(_SQL["series_epoch"])
        return self._epoch

    def forget(self, epoch: int) -> None:
        """Series were deleted since `epoch`: drop what was cached then."""
        if self._epoch == epoch:
            self._epoch = None
            self._clear()
            self.ask_again()

    def ask_again(self) -> None:
        """Limits may have changed: believe no refusal any longer."""
        self._refused.clear()
        self._full.clear()

    def of(self, tenant: UUID) -> dict[Key, int]:
        """The young generation of a tenant: look up here first, it is the fast way."""
        found = self._young.get(tenant)
        if found is None:
            found = self._young[tenant] = {}
        return found

    def recall(self, tenant: UUID, key: Key) -> int | None:
        """Look in the old generation, and keep what is found there."""
        found = self._old.get(tenant, {}).get(key)
        if found is not None:
            self._keep(tenant, key, found)
        return found

    def refusal(self, tenant: UUID, key: Key) -> PastLimit | None:
        """What a spelling was refused for a while ago."""
        if not self._refused:
            return None
        until, error = self._refused.get(_digest(tenant, key), (0.0, None))
        return error if self._clock() < until else None

    def remember(self, tenant: UUID, key: Key, found: int | PastLimit, epoch: int) -> None:
        """Cache what `resolve` said, unless series were deleted since `epoch`."""
        if epoch != self._epoch:
            return
        if isinstance(found, PastLimit):
            if len(self._refused) >= self._limits.remembered:
                self._refused.clear()
            self._refused[_digest(tenant, key)] = (self._clock() + self._limits.believed, found)
        else:
            self._keep(tenant, key, found)

    def _keep(self, tenant: UUID, key: Key, series_id: int) -> None:
        if self._size >= self._limit or self._bytes >= self._limit_bytes:
            self._old, self._young = self._young, {}
            self._size = self._bytes = 0
        self.of(tenant)[key] = series_id
        self._size += 1
        self._bytes += len(key) if isinstance(key, str) else len(key[0]) + len(key[1])

    async def resolve(self, wanted: Sequence[Series]) -> list[int | PastLimit]:
        """Numbers of these series, made where they are new, in the same order; or why there is none.

        Committed before any row refers to them, so a batch that fails leaves at most unused series.
        Raises TenantGone, and what asyncpg raises.
        """
        found: dict[tuple[UUID, bytes], int | PastLimit] = {}
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                _SQL["find_series"],
                [s.tenant_id for s in wanted],
                [s.fingerprint for s in wanted],
            )
            for row in rows:
                found[row["tenant_id"], row["fingerprint"]] = row["series_id"]
            missing: defaultdict[UUID, list[Series]] = defaultdict(list)
            for one in wanted:
                if (one.tenant_id, one.fingerprint) not in found:
                    missing[one.tenant_id].append(one)
            # A transaction a tenant: none waits for another's lock.
            for tenant, new in missing.items():
                found |= await self._add(connection, tenant, new)
        return [found[s.tenant_id, s.fingerprint] for s in wanted]

    async def _add(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        tenant: UUID,
        new: Sequence[Series],
    ) -> dict[tuple[UUID, bytes], int | PastLimit]:
        until, at_most = self._full.get(tenant, (0.0, 0))
        if self._clock() < until:
            refused = PastLimit("too_many_series", at_most)
            return {(tenant, s.fingerprint): refused for s in new}
        try:
            rows = await connection.fetch(
                _SQL["add_series"],
                tenant,
                [s.name for s in new],
                [s.labels for s in new],
                [s.fingerprint for s in new],
                self._limits.series,
                self._limits.label_values,
            )
        except asyncpg.ForeignKeyViolationError as error:
            raise TenantGone(str(error)) from error
        found: dict[tuple[UUID, bytes], int | PastLimit] = {}
        for fingerprint, number, reason, at_most in rows:
            found[tenant, fingerprint] = number if reason is None else PastLimit(reason, at_most)
            if reason == "too_many_series":
                # Whatever else is new is refused as well: not worth the tenant's lock.
                self._full[tenant] = (self._clock() + self._limits.believed, at_most)
        return found


def _digest(tenant: UUID, key: Key) -> bytes:
    name, labels = ("", key.encode()) if isinstance(key, str) else key
    spelled = b"%b%d:%b%b" % (tenant.bytes, len(name), name.encode(), labels)
    return hashlib.blake2b(spelled, digest_size=16).digest()
