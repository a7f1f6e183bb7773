"""Measures what watching costs ingestion: the same backlog drained without rules, and with them."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from uuid import UUID, uuid4

from deploy.bench.alerts_load import RECORDS, SERIES, TICK, Fleet, a_rule_each
from deploy.bench.ingest import Report, drain, preload
from deploy.bench.servers import free_port, headrace_process, own_topics
from schemas.rules import Rule
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.migrate import migrate
from sinks.rules import RuleBook
from sinks.scratch import scratch_database

_TICKS = 4000
"""Of the fleet: four million samples."""


@dataclass(frozen=True)
class Cost:
    """What ingestion reaches, in the middle of the rounds; CPU includes the start of the process."""

    samples_per_second: int
    cpu_seconds_per_million: float


async def ingest_costs(kafka: str, server: str, rounds: int, report: Report) -> tuple[Cost, Cost]:
    """Without rules and with them, in turn; each round has a database of its own, all one topic."""
    topics = Topics(f"bench-{secrets.token_hex(4)}.")
    tenant = uuid4()
    watching: tuple[Sequence[Rule], ...] = (), a_rule_each()
    found: tuple[list[Cost], ...] = [], []
    async with own_topics(kafka, topics):
        backlog = _backlog(tenant)
        await preload(kafka, topics, backlog, _TICKS * RECORDS, report)
        for number in range(rounds):
            # To and fro: what the machine gains or loses from one to the next falls on both.
            turn = list(zip(found, watching, strict=True))[:: -1 if number % 2 else 1]
            for costs, some in turn:
                costs.append(
                    await _drained(kafka, server, topics, tenant, rules=some, report=report)
                )
    without, with_rules = (_middle(costs) for costs in found)
    return without, with_rules


def _backlog(tenant: UUID) -> Iterator[bytes]:
    """The fleet's records, up to now."""
    fleet, tick = Fleet(tenant), timedelta(seconds=TICK)
    begin = datetime.now(UTC) - _TICKS * tick
    for number in range(_TICKS):
        for record in fleet.tick(begin + number * tick):
            yield record.value


async def _drained(
    kafka: str,
    server: str,
    topics: Topics,
    tenant: UUID,
    *,
    rules: Sequence[Rule],
    report: Report,
) -> Cost:
    samples = _TICKS * SERIES
    with scratch_database(server) as dsn:
        migrate(dsn)
        async with await connect_pool(dsn, role=None, application="bench") as pool:
            query = "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'bench')"
            await pool.execute(query, tenant)
            if rules:
                await RuleBook(pool, tenant).apply(rules, prune=False, dry_run=False)
            async with headrace_process("ingest", kafka, dsn, topics, free_port()) as process:
                rate = await drain(pool, process, samples, report)
                cpu = process.cpu_times()
    return Cost(round(rate), round((cpu.user + cpu.system) / samples * 1e6, 2))


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(
        round(median(cost.samples_per_second for cost in costs)),
        round(median(cost.cpu_seconds_per_million for cost in costs), 2),
    )
