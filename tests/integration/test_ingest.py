"""The ingest process on a real broker and database: what arrives is stored, or says why not."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from deploy.bench.workload import HEADERS, SAMPLES_PER_RECORD, Shape, Workload
from tests.ingestion import PARTITIONS, Bench
from tests.processes import headrace


def envelope(bench: Bench, *metrics: object, **fields: object) -> bytes:
    """A JSON envelope of the test's tenant."""
    return msgspec.json.encode({"tenant_id": str(bench.tenant), "metrics": list(metrics), **fields})


def sample(**fields: object) -> dict[str, object]:
    """A good sample of now, but for what is given."""
    now = datetime.now(UTC).isoformat()
    return {"name": "cpu", "value": 1.5, "labels": {"host": "a"}, "timestamp": now} | fields


@pytest.mark.parametrize("shape", ["json100", "json1", "arrow"])
async def test_each_shape_arrives_whole(bench: Bench, tmp_path: Path, shape: Shape) -> None:
    """Every sample of every record is a row, and the ledger says the same."""
    load = Workload(shape, 20_000, bench.tenant, datetime.now(UTC) - timedelta(hours=1))
    await bench.produce(load.values(), HEADERS[shape])
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.arrived(20_000)
    assert ledger == {
        "received": 20_000,
        "stored": 20_000,
        "deduplicated": 0,
        "dead_lettered": 0,
        "rejected": 0,
        "lost": 0,
    }
    assert await bench.rows() == 20_000
    assert load.records * SAMPLES_PER_RECORD[shape] == 20_000


async def test_one_malformed_record_in_a_hundred_costs_only_itself(
    bench: Bench, tmp_path: Path
) -> None:
    """Each kind of bad record is a dead letter with its reason and bytes; all others are stored."""
    bad = {
        b"{broken json": "bad_json",
        b'{"tenant_id":"%b","metrics":7}' % str(bench.tenant).encode(): "bad_envelope",
        envelope(bench, sample(value=[1])): "bad_value",
        json.dumps(
            {"tenant_id": str(bench.tenant), **sample(value=float("nan"))}
        ).encode(): "not_finite",
        envelope(bench, {"value": 1.0}): "bad_name",
        envelope(bench, sample(value="x" * (2**20 - 8192))): "text_too_long",
        msgspec.json.encode({"tenant_id": str(uuid4()), **sample()}): "unknown_tenant",
        envelope(bench, sample(value=1e300)): "out_of_range",
        envelope(bench, sample(timestamp="1970-01-01T00:00:00Z")): "too_old",
        envelope(bench, sample(timestamp="2106-02-07T06:28:15Z")): "too_far_ahead",
        envelope(bench, sample(value="a\0b")): "nul_character",
        envelope(bench, sample(), source="?").replace(b'"?"', b'"\xff"'): "bad_utf8",
    }
    every = [*islice(cycle(bad), 44)]
    good = [envelope(bench, *[sample(value=i)] * 3) for i in range(99 * len(every))]
    mixed = [value for i, one in enumerate(every) for value in (*good[99 * i : 99 * i + 99], one)]
    await bench.produce(mixed)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.arrived(3 * len(good), len(every))
    assert (ledger["stored"], ledger["dead_lettered"]) == (3 * len(good), len(every))
    assert await bench.rows() == 3 * len(good)
    letters = await bench.dead_letters()
    found = Counter(dict(letter.headers)["reason"].decode() for letter in letters)
    assert found == Counter(bad[value] for value in every)
    for letter in letters:
        headers = {key: value.decode() for key, value in letter.headers}
        position = (
            f"{headers['source-topic']}/{headers['source-partition']}/{headers['source-offset']}"
        )
        assert letter.key.decode().startswith(position)
        whole = headers["unit"] == "record"
        assert letter.value in bad if whole else any(letter.value in value for value in bad)


async def test_a_row_that_the_database_refuses_is_found_among_the_others(
    bench: Bench, tmp_path: Path
) -> None:
    """COPY fails as a whole; bisecting finds the rows, the rest land in the same transaction."""
    await bench.pool.execute("ALTER TABLE samples ADD CHECK (v_num IS DISTINCT FROM 13)")
    values = [envelope(bench, *(sample(value=v) for v in range(10))) for _ in range(200)]
    poisoned = envelope(bench, sample(value=1), sample(value=13), sample(value=2))
    await bench.produce(
        [*values[:99], poisoned, *(envelope(bench, sample(value=1)) for _ in values)]
    )
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.arrived(99 * 10 + 2 + 200, 1)
    assert (ledger["stored"], ledger["dead_lettered"]) == (99 * 10 + 2 + 200, 1)
    assert await bench.rows() == ledger["stored"]
    (letter,) = await bench.dead_letters()
    assert dict(letter.headers)["reason"] == b"refused_by_database"
    assert json.loads(letter.value)["value"] == 13
    assert letter.key.endswith(b"/1")


async def test_a_tenant_deleted_in_mid_run_stops_nobody_else(bench: Bench, tmp_path: Path) -> None:
    """Its new series are a stranger's; the samples of others go on."""
    await bench.pool.execute("INSERT INTO tenants (tenant_id, name) VALUES ($1, 'gone')", uuid4())
    gone = await bench.pool.fetchval("SELECT tenant_id FROM tenants WHERE name = 'gone'")
    theirs = msgspec.json.encode({"tenant_id": str(gone), **sample(name="theirs")})
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await bench.produce([envelope(bench, sample())])
        await bench.arrived(1)
        await bench.pool.execute("DELETE FROM tenants WHERE tenant_id = $1", gone)
        await bench.produce([theirs, envelope(bench, sample())])
        await bench.arrived(2, 1)
    (letter,) = await bench.dead_letters()
    assert dict(letter.headers)["reason"] == b"unknown_tenant"


async def test_points_of_a_run_are_counted_by_run_and_partition(
    bench: Bench, tmp_path: Path
) -> None:
    """The run's own ledger has what the post-test workflow compares with."""
    execution = uuid4()
    good = envelope(bench, *[sample()] * 5, execution_id=str(execution))
    half = envelope(bench, sample(), sample(value="text"), execution_id=str(execution))
    await bench.produce([good, good, half, envelope(bench, sample())])
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        await bench.arrived(12, 1)
    rows = await bench.pool.fetch(
        "SELECT partition, stored, dead_lettered FROM run_ledger WHERE execution_id = $1 ORDER BY 1",
        execution,
    )
    assert [tuple(row) for row in rows] == [(0, 5, 0), (1, 5, 0), (2, 1, 1)]
    assert await bench.pool.fetchval("SELECT count(*) FROM k6_samples") == 11
    assert await bench.rows() == 1


async def test_what_kafka_deleted_before_it_was_read_is_recorded_as_lost(
    bench: Bench, tmp_path: Path
) -> None:
    """A gap is measured and recorded, and ingestion goes on behind it."""
    value = envelope(bench, sample())
    await bench.produce([value] * 40)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
        await bench.arrived(40)
        assert await process.stop() == 0
    await bench.produce([value] * 40)
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.kafka)
    await admin.start()
    partition = TopicPartition(bench.topics.samples, 0)
    await admin.delete_records({partition: RecordsToDelete(before_offset=17)})
    await admin.close()
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.arrived(73)
    assert (ledger["stored"], ledger["lost"]) == (73, 7)
    assert "deleted before they were read" in (tmp_path / "log").read_text()


async def test_a_stop_flushes_and_the_next_process_goes_on(bench: Bench, tmp_path: Path) -> None:
    """SIGTERM ends the process cleanly within ten seconds, and nothing is read twice."""
    value = envelope(bench, *[sample()] * 100)
    await bench.produce([value] * 4000)
    with headrace("ingest", env=bench.env(), log=tmp_path / "log") as process:
        await bench.stored_at_least(1)
        assert await process.stop() == 0
    with headrace("ingest", env=bench.env(), log=tmp_path / "log"):
        ledger = await bench.arrived(400_000)
    assert ledger["stored"] == 400_000
    assert await bench.rows() == 400_000


async def test_a_second_worker_takes_its_share_and_nothing_doubles(
    bench: Bench, tmp_path: Path
) -> None:
    """A rebalance in mid-drain leaves the count exact."""
    value = envelope(bench, *[sample()] * 100)
    await bench.produce([value] * (PARTITIONS * 1500))
    total = PARTITIONS * 150_000
    with headrace("ingest", env=bench.env(), log=tmp_path / "a") as first:
        await bench.stored_at_least(1)
        with headrace("ingest", env=bench.env(), log=tmp_path / "b") as second:
            await second.ready()
            await bench.produce([value] * PARTITIONS)
            total += PARTITIONS * 100
            ledger = await bench.arrived(total)
            # A third and a fourth join while nothing is to do, then leave again.
            for name in ("c", "d"):
                with headrace("ingest", env=bench.env(), log=tmp_path / name) as more:
                    await more.ready()
                    assert await more.stop() == 0
            await bench.produce([value] * PARTITIONS)
            total += PARTITIONS * 100
            ledger = await bench.arrived(total)
            assert first.process.poll() is None, first.log.read_text()
            assert second.process.poll() is None, second.log.read_text()
    assert ledger["stored"] == total
    assert await bench.rows() == total
