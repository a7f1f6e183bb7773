"""Who has how many series, which metrics and labels make them, and what was refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import asyncpg

from schemas.errors import Invalid
from schemas.named_queries import load

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_SQL = load("sinks.sql", "cardinality.sql")


@dataclass(frozen=True)
class TenantSeries:
    """A tenant's series, and its own limit; None: that of the settings."""

    tenant: str
    series: int
    max_series: int | None


@dataclass(frozen=True)
class MetricSeries:
    """A metric's series."""

    tenant: str
    metric: str
    series: int


@dataclass(frozen=True)
class LabelValues:
    """A label's distinct values in one metric."""

    tenant: str
    metric: str
    label: str
    values: int


@dataclass(frozen=True)
class Rejection:
    """Samples that a tenant lost to a limit, with the last example; labels are JSON."""

    tenant: str
    reason: str
    samples: int
    metric: str
    labels: str
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Cardinality:
    """The largest of each kind, largest first."""

    tenants: tuple[TenantSeries, ...]
    metrics: tuple[MetricSeries, ...]
    labels: tuple[LabelValues, ...]
    rejections: tuple[Rejection, ...]


async def cardinality(pool: Pool, *, tenant: str | None = None, top: int = 10) -> Cardinality:
    """The `top` of each kind, of one tenant or of all; in the role headrace_owner."""

    async def ask(name: str) -> list[asyncpg.Record]:
        return list(await pool.fetch(_SQL[name], tenant, top))

    return Cardinality(
        tenants=tuple(TenantSeries(*row) for row in await ask("tenants")),
        metrics=tuple(MetricSeries(*row) for row in await ask("metrics")),
        labels=tuple(LabelValues(*row) for row in await ask("labels")),
        rejections=tuple(Rejection(*row) for row in await ask("rejections")),
    )


async def limit_series(pool: Pool, tenant: str, max_series: int | None) -> TenantSeries:
    """Give a tenant a limit of its own, or with None that of the settings.

    Raises Invalid when there is no such tenant.
    """
    row = await pool.fetchrow(_SQL["limit"], tenant, max_series)
    if row is None:
        raise Invalid("unknown_tenant", f"There is no tenant {tenant!r}: headrace tenants list")
    return TenantSeries(*row)
