"""The worker process and alerts: from transitions in Kafka to what people and receivers see."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.alerting import Incident, publish
from tests.ingestion import Bench
from tests.kafka_log import records_of
from tests.processes import headrace

pytestmark = pytest.mark.timeout(120)


async def reached(bench: Bench, query: str, expected: Any, *arguments: object) -> None:
    """Wait until a query has one answer."""
    async with asyncio.timeout(60):
        while await bench.pool.fetchval(query, *arguments) != expected:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.05)


async def test_transitions_become_alerts(bench: Bench, temporal: str, tmp_path: Path) -> None:
    """What was committed is recorded once; what was aborted never; what is bad is buried, and holds up nothing."""
    incident = Incident(bench.tenant)
    fired, resolved = incident.goes("firing"), incident.goes("resolved")
    never = Incident(bench.tenant, rule="never").goes("firing")
    nobodys = Incident(uuid4()).goes("firing")
    topic = bench.topics.transitions
    await publish(bench.kafka, topic, [never], abort=True)
    await publish(bench.kafka, topic, [b"{", None, nobodys, fired, fired])
    await publish(bench.kafka, topic, [resolved, fired])
    with headrace(
        "worker", env=bench.env(HEADRACE_TEMPORAL=temporal), log=tmp_path / "log"
    ) as worker:
        await worker.ready()
        await reached(
            bench, "SELECT state FROM alerts WHERE alert_id = $1", "resolved", incident.alert
        )
        last = Incident(bench.tenant, rule="last").goes("firing")
        await publish(bench.kafka, topic, [last])
        await reached(bench, "SELECT count(*) FROM alerts", 2)
        assert await worker.stop() == 0
    history = await bench.pool.fetch(
        "SELECT transition_id FROM alert_history ORDER BY rule_version, at, number"
    )
    assert {row[0] for row in history} == {fired.id, resolved.id, last.id}
    buried = await records_of(bench.kafka, bench.topics.dead_letters)
    assert [dict(record.headers)["reason"].decode() for record in buried] == [
        "bad_transition", "bad_transition", "unknown_tenant",
    ]  # fmt: skip
