"""What benchmarks over Kafka share: topics of their own, and headrace's own processes on them."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from producers.topics import create_topics
from schemas.topics import Topics

GROUP = "headrace-bench"
PARTITIONS = 4

_log = logging.getLogger(__name__)


@asynccontextmanager
async def own_topics(kafka: str, topics: Topics) -> AsyncIterator[None]:
    """Topics that are gone at the end. Raises what `create_topics` raises."""
    specs = topics.specs(PARTITIONS)
    await create_topics(kafka, specs, 1)
    try:
        yield
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka, client_id="headrace-bench")
        try:
            await admin.start()
            await admin.delete_topics([spec.name for spec in specs])
        except KafkaError as error:
            # Not raised: it would hide why the benchmark failed.
            _log.warning("Topics %s* are left on %s: %s", topics.prefix, kafka, error)
        finally:
            await admin.close()


@asynccontextmanager
async def headrace_process(
    name: str, kafka: str, dsn: str, topics: Topics, port: int
) -> AsyncIterator[psutil.Popen]:
    """`headrace ingest` or another itself, on servers and names of the benchmark's own."""
    env = {
        **os.environ,
        "HEADRACE_KAFKA": kafka,
        "HEADRACE_DATABASE": dsn,
        "HEADRACE_TEMPORAL": "unused",
        "HEADRACE_TOPIC_PREFIX": topics.prefix,
        "HEADRACE_CONSUMER_GROUP": GROUP,
    }
    argv = [sys.executable, "-m", "deploy.cli", name, "--port", str(port)]
    process = psutil.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
