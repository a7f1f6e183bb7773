"""A load test whose points ingest has stored: rows, ledger and offsets, and the events of its runner."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from schemas.runs import PartitionSent, RunFinished, RunStarted, Threshold

GROUP = "headrace-ingest"
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
POINTS = 1500
_PARTITION_POINTS = {0: 700, 3: 800}
_LAST_OFFSET = 41
_LIST = {"name": "list", "method": "GET", "status": "200"}
_GET = {"name": "get", "method": "GET", "status": "500", "error_code": "1500"}
_SERIES: list[tuple[str, dict[str, str]]] = [
    *(
        (metric, labels)
        for metric in ("http_req_duration", "http_reqs")
        for labels in (_LIST, _GET)
    ),
    ("checks", {"check": "ok", "group": "::g"}),
]


@dataclass(frozen=True)
class StoredRun:
    """The run's id and the events that tell of it."""

    execution: UUID
    started: RunStarted
    finished: RunFinished

    @property
    def events(self) -> list[bytes]:
        """The events as they are in Kafka."""
        return [event.model_dump_json().encode() for event in (self.started, self.finished)]


async def store_run(
    pool: "asyncpg.Pool[asyncpg.Record]", tenant: UUID, topic: str, *, passed: bool = True
) -> StoredRun:
    """Store a run of 600 requests, half of them failed, and 300 checks; both thresholds hold where `passed`."""
    execution = uuid4()
    await pool.execute("SELECT ensure_executions($1)", [execution])
    await pool.execute(
        "INSERT INTO series (tenant_id, name, labels, fingerprint) "
        "SELECT $1, name, labels::jsonb, decode(md5(name || labels), 'hex') "
        "FROM unnest($2::text[], $3::text[]) s (name, labels) ON CONFLICT DO NOTHING",
        tenant,
        [name for name, _ in _SERIES],
        [json.dumps(labels) for _, labels in _SERIES],
    )
    await pool.execute(
        "INSERT INTO k6_samples (ts, execution_id, series_id, value) "
        "SELECT $2::timestamptz + i * interval '10 ms', $1, series_id, "
        "       CASE name WHEN 'http_reqs' THEN 1 WHEN 'checks' THEN i % 2 ELSE i END "
        "FROM series, generate_series(1, 300) i WHERE tenant_id = $3",
        execution,
        BEGAN,
        tenant,
    )
    for partition, points in _PARTITION_POINTS.items():
        await pool.execute(
            "INSERT INTO run_ledger VALUES ($1, $2, $3, $4, 0)", execution, topic, partition, points
        )
        await let_ingest_pass(pool, topic, partition, _LAST_OFFSET + 1)
    return StoredRun(
        execution, _started(execution, tenant), _finished(execution, tenant, topic, passed)
    )


async def let_ingest_pass(
    pool: "asyncpg.Pool[asyncpg.Record]", topic: str, partition: int, next_offset: int
) -> None:
    """Move ingest's position."""
    await pool.execute(
        "INSERT INTO ingest_offsets (consumer_group, topic, partition, next_offset) "
        "VALUES ($1, $2, $3, $4) ON CONFLICT (consumer_group, topic, partition) "
        "DO UPDATE SET next_offset = excluded.next_offset",
        GROUP,
        topic,
        partition,
        next_offset,
    )


async def rows_of(pool: "asyncpg.Pool[asyncpg.Record]", execution: UUID) -> dict[str, Any]:
    """Everything that the post-test workflow leaves of a run, without ids and times of day."""
    aggregates = await pool.fetch(
        "SELECT * FROM k6_aggregates WHERE execution_id = $1 "
        "ORDER BY kind, bucket, metric, name, method, status",
        execution,
    )
    others = {
        table: [
            {**row, "execution_id": None}
            for row in await pool.fetch(
                f"SELECT * FROM {table} WHERE execution_id = $1 ORDER BY 2, 3, 4",  # noqa: S608 - names are ours
                execution,
            )
        ]
        for table in ("run_checks", "run_errors")
    }
    run = await pool.fetchrow("SELECT * FROM runs WHERE execution_id = $1", execution)
    raw = await pool.fetchval("SELECT count(*) FROM k6_samples WHERE execution_id = $1", execution)
    return {
        "aggregates": [{**row, "execution_id": None} for row in aggregates],
        **others,
        "state": run["state"],
        "incomplete": run["incomplete"],
        "verdict": run["verdict"],
        "thresholds": run["thresholds"],
        "deleted": run["raw_deleted_at"] is not None,
        "raw": raw,
    }


def _started(execution: UUID, tenant: UUID) -> RunStarted:
    return RunStarted(
        execution_id=execution,
        tenant_id=tenant,
        at=BEGAN,
        runner="here",
        test="checkout",
        script="checkout.js",
    )


def _finished(execution: UUID, tenant: UUID, topic: str, passed: bool) -> RunFinished:
    return RunFinished(
        execution_id=execution,
        tenant_id=tenant,
        at=BEGAN + timedelta(seconds=4),
        runner="here",
        topic=topic,
        sent=[
            PartitionSent(partition=partition, points=points, last_offset=_LAST_OFFSET)
            for partition, points in _PARTITION_POINTS.items()
        ],
        exit_code=0 if passed else 99,
        metrics={"http_req_duration": "trend", "http_reqs": "counter"},
        thresholds=[
            Threshold(
                metric="http_req_duration{name:list}",
                expression="p(95)<286" if passed else "p(95)<285",
                k6_passed=passed,
            ),
            Threshold(metric="http_reqs", expression="rate>100", k6_passed=True),
        ],
    )
