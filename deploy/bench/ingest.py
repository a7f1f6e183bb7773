"""Measures ingestion: a preloaded topic drained by the real process, against COPY alone."""

import asyncio
import io
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import numpy as np
import psutil
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

from deploy.bench.servers import PARTITIONS, free_port, headrace_process, own_topics
from deploy.bench.workload import HEADERS, Shape, Workload
from producers.kafka import close_producer, make_producer
from schemas.batches import SAMPLES, Rows
from schemas.errors import Temporary
from schemas.topics import Topics
from sinks.copy import encode, pieces
from sinks.database import connect_pool
from sinks.migrate import migrate
from sinks.scratch import scratch_database

STALLED = 60.0
"""Seconds without a stored sample after which the drain has failed."""

Report = Callable[[str, int, int], None]
"""Told (what happens, how many done, how many in all)."""

_COPIED = np.dtype(
    [
        ("n", ">i2"),
        ("a", ">i4"),
        ("ts", ">i8"),
        ("b", ">i4"),
        ("series", ">i8"),
        ("c", ">i4"),
        ("v", ">f8"),
    ]
)
"""A row of (ts, series_id, v_num) in binary COPY: field count, then length and value of each field."""
_EPOCH_2000 = 946_684_800_000_000


@dataclass(frozen=True)
class Result:
    """What `headrace bench ingest --json` prints."""

    storage: str
    shape: Shape
    samples: int
    rows: int
    samples_per_second: int
    limit_samples_per_second: int
    cpu_seconds: float
    peak_rss_mb: int
    bytes_per_sample: float


async def bench_ingest(
    kafka: str, server: str, shape: Shape, samples: int, report: Report
) -> Result:
    """Run once, in a topic and a database of its own, and leave neither behind.

    The limit is COPY of the same rows, already encoded and cut into batches of the same size, into the
    same table: what the database does when nobody decodes, deduplicates or counts.
    """
    topics = Topics(f"bench-{secrets.token_hex(4)}.")
    with scratch_database(server) as dsn:
        storage = migrate(dsn).storage
        pool = await connect_pool(dsn, role=None, application="bench")
        try:
            tenant = await pool.fetchval(
                "INSERT INTO tenants (name) VALUES ('bench') RETURNING tenant_id"
            )
            load = Workload(shape, samples, tenant, datetime.now(UTC) - timedelta(hours=1))
            port = free_port()
            async with own_topics(kafka, topics):
                await preload(
                    kafka, topics, load.values(), load.records, report, headers=HEADERS[shape]
                )
                async with headrace_process("ingest", kafka, dsn, topics, port) as process:
                    rate = await drain(pool, process, samples, report)
                    cpu, peak = process.cpu_times(), _peak_rss(process)
                    batch = await _mean_batch(port)
            rows = await pool.fetchval("SELECT count(*) FROM samples")
            size = await pool.fetchval(_SIZE[storage])
            limit = await _limit(pool, storage, batch, report)
        finally:
            await pool.close()
    return Result(
        storage,
        shape,
        samples,
        rows,
        round(rate),
        round(limit),
        round(cpu.user + cpu.system, 2),
        peak,
        round(float(size) / rows, 2),
    )


_SIZE = {
    "postgresql": "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'samples'::regclass",
    "timescaledb": "SELECT hypertable_size('samples')",
}


async def preload(
    kafka: str,
    topics: Topics,
    values: Iterable[bytes],
    records: int,
    report: Report,
    *,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Write `records` values to the topic of samples, to its partitions in turn."""
    producer = make_producer(kafka, client_id="headrace-bench")
    await producer.start()
    try:
        for index, value in enumerate(values):
            await producer.send(
                topics.samples, value, partition=index % PARTITIONS, headers=headers
            )
            if index % 1000 == 0:
                report("preloading the topic", index, records)
        await producer.flush()
    finally:
        await close_producer(producer, timeout=10)


async def drain(
    pool: "asyncpg.Pool[asyncpg.Record]", process: psutil.Popen, samples: int, report: Report
) -> float:
    """Samples a second from the first commit seen to the last; starting up is not counted.

    Raises Temporary when the process stops, or stores nothing for a minute.
    """
    first: tuple[float, int] | None = None
    seen, moved = 0, time.perf_counter()
    while True:
        stored = int(await pool.fetchval("SELECT coalesce(sum(stored), 0) FROM ledger"))
        now = time.perf_counter()
        if stored > seen:
            seen, moved = stored, now
            if first is None and stored >= samples:
                raise Temporary(f"{samples} samples fit one batch: nothing to measure. Use more.")
            first = first or (now, stored)
            report("draining", stored, samples)
        if first is not None and stored >= samples:
            return (samples - first[1]) / (now - first[0])
        if process.poll() is not None or now - moved > STALLED:
            process.kill()
            _, errors = await asyncio.to_thread(process.communicate)
            raise Temporary(
                f"ingest stored {seen} of {samples} samples and stopped:\n{errors.decode()[-2000:]}"
            )
        await asyncio.sleep(0.02)


def _peak_rss(process: psutil.Popen) -> int:
    """High-water mark of resident memory in MB, as the kernel keeps it."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return int(process.memory_info().rss) // 2**20


async def _mean_batch(port: int) -> int:
    """Rows in a mean batch, from the process's own metrics."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        text = await answer.text()
    value = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name == "headrace_ingest_batch_samples" and not sample.labels
    }
    name = "headrace_ingest_batch_samples"
    return round(value[f"{name}_sum"] / value[f"{name}_count"])


async def _limit(
    pool: "asyncpg.Pool[asyncpg.Record]", storage: str, batch: int, report: Report
) -> float:
    """Rows a second of COPY alone: the rows that were stored, encoded before the clock starts."""
    async with pool.acquire() as connection:
        copied = io.BytesIO()
        await connection.copy_from_query(
            "SELECT ts, series_id, v_num FROM samples", output=copied, format="binary"
        )
        # 19 bytes of header before the rows, 2 of trailer behind them.
        rows = np.frombuffer(copied.getbuffer()[19:-2], _COPIED)
        encoded = [_encode(rows[i : i + batch]) for i in range(0, len(rows), batch)]
        await connection.execute("TRUNCATE samples")
        started = time.perf_counter()
        for index, part in enumerate(encoded):
            async with connection.transaction():
                if storage == "timescaledb":
                    await connection.execute(
                        "SET LOCAL timescaledb.enable_direct_compress_copy = on"
                    )
                await connection.copy_to_table(
                    "samples",
                    source=pieces(part),
                    columns=["ts", "series_id", "v_num"],
                    format="binary",
                )
            report("COPY alone", index + 1, len(encoded))
        return float(len(rows) / (time.perf_counter() - started))


def _encode(rows: "np.ndarray[tuple[int], np.dtype[np.void]]") -> bytes:
    ts, series = rows["ts"].astype(np.int64) + _EPOCH_2000, rows["series"].astype(np.int64)
    order = np.lexsort((ts, series))
    columns = [
        pa.array(ts[order]).cast(pa.timestamp("us", "UTC")),
        pa.array(series[order]),
        pa.array(rows["v"].astype(np.float64)[order]),
    ]
    nowhere = np.empty(0, np.int32)
    schema = pa.schema([SAMPLES.field(i) for i in range(3)])
    return encode(Rows(pa.record_batch(columns, schema=schema), nowhere, nowhere))
