"""`headrace gateway` as a process, on a real broker and a real database: what 202 is worth."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from producers.topics import create_topics
from schemas.keys import Scope
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.keys import Tenants
from tests.brokers import private_broker
from tests.exposition import check_measured
from tests.kafka_log import records_of
from tests.outages import database_away

INGEST = "/api/v1/metrics/ingest"
BATCH = "/api/v1/metrics/ingest/batch"


def launch(kafka: str, database: str, topics: Topics, *options: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_DATABASE": database,
        "HEADRACE_TEMPORAL": "unused:1",
        "HEADRACE_TOPIC_PREFIX": topics.prefix,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "gateway", *options],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def gateway_process(kafka: str, database: str, topics: Topics) -> Iterator["subprocess.Popen[str]"]:
    """A gateway on any free port, stopped politely at the end; it must leave with 0 and no traceback."""
    process = launch(kafka, database, topics, "--port", "0")
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
        assert process.returncode == 0, log
        assert "Traceback" not in log, log
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def client_of(
    process: "subprocess.Popen[str]", key: str = ""
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the address that the process logs."""
    assert process.stderr is not None
    found = None
    while found is None:
        line = await asyncio.to_thread(process.stderr.readline)
        assert line, "the process ended"
        found = re.search(r"listens on (http://\S+)", line)
    async with httpx.AsyncClient(
        base_url=found[1], headers={"X-API-Key": key}, timeout=20
    ) as client:
        yield client


async def until_ready(client: httpx.AsyncClient, status: int) -> None:
    """Wait until /readyz answers so; the test's own time limit ends it."""
    while True:
        if (await client.get("/readyz")).status_code == status:
            return
        await asyncio.sleep(0.05)  # there is no event of another process to wait for


async def key_for(database: str, *scopes: Scope) -> str:
    """A key of a new tenant."""
    async with await connect_pool(database, role=None, application="test") as pool:
        tenants = Tenants(pool)
        await tenants.create("acme")
        return await tenants.create_key("acme", scopes)


async def test_an_acknowledged_sample_is_in_kafka_as_it_was_meant(
    kafka: str, database: str, topics: Topics
) -> None:
    """202, then the record: the tenant of the key, canonical labels, the value and time as given.

    All of it is counted at /metrics.
    """
    await create_topics(kafka, topics.specs(2), 1)
    key = await key_for(database, "ingest")
    with gateway_process(kafka, database, topics) as process:
        async with client_of(process, key) as client:
            await until_ready(client, 200)
            response = await client.post(
                INGEST,
                content=b'{"name":"t","value":1e-7,"labels":{"b":"2", "a":"\\u00e9"},'
                b'"timestamp":' + b'"2999-01-01T00:00:00Z"}',
                headers={"Content-Type": "application/json"},
            )
            assert response.status_code == 422
            body = {"name": "t", "value": 1e-7, "labels": {"b": "2", "a": "é"}, "source": "s"}
            response = await client.post(INGEST, json=body)
            assert (response.status_code, response.json()) == (202, {"accepted": 1})
            [record] = await records_of(kafka, topics.samples)
            await client.post(BATCH, json={"metrics": [body]})
            text = (await client.get("/metrics")).text
            check_measured(text, "POST", BATCH, 202)
            assert "headrace_gateway_samples_accepted_total 2.0" in text
            assert 'headrace_gateway_samples_refused_total{reason="too_far_ahead"} 1.0' in text

    tenant = record.key.decode().removesuffix("/s")
    stamp = msgspec.json.decode(record.value)["metrics"][0]["timestamp"]
    assert record.value.decode() == (
        f'{{"tenant_id":"{tenant}","source":"s","metrics":['
        f'{{"name":"t","value":1e-7,"labels":{{"a":"é","b":"2"}},"timestamp":{stamp}}}]}}'
    )


async def test_keys_are_those_of_the_database(kafka: str, database: str, topics: Topics) -> None:
    """Unknown: 401. Without the scope: 403. Nothing reaches Kafka."""
    await create_topics(kafka, topics.specs(1), 1)
    reader = await key_for(database, "read")
    sample = {"name": "t", "value": 1}
    with gateway_process(kafka, database, topics) as process:
        async with client_of(process) as client:
            await until_ready(client, 200)
            for key, status in (("hr_wrong", 401), (reader, 403)):
                response = await client.post(INGEST, json=sample, headers={"X-API-Key": key})
                assert response.status_code == status
    assert await records_of(kafka, topics.samples) == []


async def test_ten_thousand_samples_are_one_request(
    kafka: str, database: str, topics: Topics
) -> None:
    """The largest batch is in Kafka whole and in order; one more is too many."""
    await create_topics(kafka, topics.specs(2), 1)
    key = await key_for(database, "ingest")
    metrics = [{"name": "n", "value": number} for number in range(10_001)]
    with gateway_process(kafka, database, topics) as process:
        async with client_of(process, key) as client:
            await until_ready(client, 200)
            too_many = await client.post(BATCH, json={"metrics": metrics})
            taken = await client.post(BATCH, json={"metrics": metrics[:-1]})
            records = await records_of(kafka, topics.samples)

    assert too_many.status_code == 413
    assert taken.json() == {"accepted": 10_000}
    values = [one["value"] for r in records for one in msgspec.json.decode(r.value)["metrics"]]
    assert values == list(range(10_000))


async def test_it_starts_before_its_servers_and_outlives_their_outages(
    tmp_path: Path, postgres: str, database: str, topics: Topics
) -> None:
    """Alive all the time, ready when both are there, 503 with Retry-After in between, and no restart."""
    key = await key_for(database, "ingest")
    sample = {"name": "t", "value": 1}
    async with private_broker(tmp_path) as broker:
        await create_topics(broker.bootstrap, topics.specs(1), 1)
        broker.kill()
        with gateway_process(broker.bootstrap, database, topics) as process:
            async with client_of(process, key) as client:
                with database_away(postgres, database):
                    assert (await client.get("/healthz")).status_code == 200
                    away = await client.post(INGEST, json=sample)
                    assert (away.status_code, "retry-after" in away.headers) == (503, True)
                    await broker.start()
                    await until_ready(client, 503)
                await until_ready(client, 200)
                assert (await client.post(INGEST, json=sample)).status_code == 202

                broker.freeze()
                frozen = await client.post(INGEST, json=sample)
                assert (frozen.status_code, "retry-after" in frozen.headers) == (503, True)
                await until_ready(client, 503)
                refused = await client.post(INGEST, json=sample)
                assert refused.status_code == 503
                assert "Nothing was stored" in refused.json()["detail"]
                broker.thaw()
                await until_ready(client, 200)
                assert (await client.post(INGEST, json=sample)).status_code == 202
        # Two that were acknowledged, and the one whose answer was "may be stored".
        assert len(await records_of(broker.bootstrap, topics.samples)) == 3


async def test_stopping_under_load_loses_nothing_that_was_acknowledged(
    kafka: str, database: str, topics: Topics
) -> None:
    """SIGTERM in the middle: each 202 is in Kafka, and the process is gone within ten seconds."""
    await create_topics(kafka, topics.specs(4), 1)
    key = await key_for(database, "ingest")
    acknowledged: set[str] = set()
    enough = asyncio.Event()

    async def load(client: httpx.AsyncClient, worker: int) -> None:
        for number in range(100_000):
            name = f"w{worker}.{number}"
            try:
                response = await client.post(INGEST, json={"name": name, "value": 1})
            except httpx.TransportError:
                return  # the listener is gone
            if response.status_code == 202:
                acknowledged.add(name)
            if len(acknowledged) > 300:
                enough.set()

    with gateway_process(kafka, database, topics) as process:
        async with client_of(process, key) as client:
            await until_ready(client, 200)
            load_all = asyncio.gather(*(load(client, worker) for worker in range(16)))
            await enough.wait()
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 10)
            await load_all

    stored = [
        one["name"]
        for record in await records_of(kafka, topics.samples)
        for one in msgspec.json.decode(record.value)["metrics"]
    ]
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)


def test_a_busy_port_is_named(topics: Topics) -> None:
    """The command says which port is taken and ends with the code for wrong configuration."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = launch(
            "127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/x", topics, "--port", port
        )
        _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert port in log
    assert "Traceback" not in log


@pytest.mark.parametrize("option", ["--port=70000", "--nonsense"])
def test_wrong_usage_is_told(topics: Topics, option: str) -> None:
    """Exit code 2 and the option by name."""
    process = launch("127.0.0.1:1", "postgresql://postgres@127.0.0.1:1/x", topics, option)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert option.partition("=")[0] in log
