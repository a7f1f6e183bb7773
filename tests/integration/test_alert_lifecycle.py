"""The worker process and alerts: from transitions in Kafka to what people and receivers see."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.alerting import SOON, Incident, apply, publish
from tests.ingestion import Bench
from tests.kafka_log import records_of
from tests.processes import headrace
from tests.receivers import hook
from workflows.notify.webhook import signature

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


def worker_env(bench: Bench, temporal: str, **more: str) -> dict[str, str]:
    """A worker that may ask servers of this machine."""
    return bench.env(
        HEADRACE_TEMPORAL=temporal, HEADRACE_OUTGOING_ALLOW="127.0.0.0/8,localhost", **more
    )


async def test_an_alert_is_told_when_it_fires_gets_worse_and_ends(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """Signed, each once, through a receiver that refuses at first; what came before there was a route, too."""
    first, second = Incident(bench.tenant), Incident(bench.tenant, labels={"host": "b"})
    topic = bench.topics.transitions
    env = worker_env(bench, temporal, HOOK_SECRET="s3cret")
    async with hook() as told:
        told.status = 503
        with headrace("worker", env=env, log=tmp_path / "log") as worker:
            await worker.ready()
            await publish(bench.kafka, topic, [first.goes("pending"), first.goes("firing")])
            await reached(bench, "SELECT state FROM alerts", "firing")
            webhook = {"url": told.url, "secret": "secret://env/HOOK_SECRET"}
            await apply(
                bench.dsn,
                bench.tenant,
                receivers=[{"name": "hook", "webhook": webhook}],
                route={"receiver": "hook", **SOON},
            )
            await told.until(lambda it: it.refused > 1)
            told.status = 200
            await told.until(lambda it: len(it.alerts) == 1)
            await publish(bench.kafka, topic, [second.goes("firing")])
            await told.until(lambda it: len(it.alerts) == 3)
            await publish(bench.kafka, topic, [first.goes("firing", "critical")])
            await told.until(lambda it: len(it.alerts) == 5)
            await publish(bench.kafka, topic, [first.goes("resolved", "critical")])
            await told.until(lambda it: len(it.alerts) == 7)
            await publish(bench.kafka, topic, [second.goes("resolved")])
            await told.until(lambda it: len(it.alerts) == 8)
            await reached(bench, "SELECT count(*) FROM notifications", 0)
            assert await worker.stop() == 0
    assert told.alerts == [
        ("items-slow", "a", "firing"),
        ("items-slow", "b", "firing"), ("items-slow", "a", "firing"),
        ("items-slow", "a", "firing"), ("items-slow", "b", "firing"),
        ("items-slow", "a", "resolved"), ("items-slow", "b", "firing"),
        ("items-slow", "b", "resolved"),
    ]  # fmt: skip
    assert [body["status"] for body in told.bodies] == ["firing"] * 4 + ["resolved"]
    assert told.bodies[2]["alerts"][0]["labels"]["severity"] == "critical"
    assert told.bodies[0]["commonAnnotations"] == {"summary": "a is slow"}
    for headers, body in told.requests:
        stamp = headers["X-Headrace-Timestamp"]
        assert headers["X-Headrace-Signature"] == signature("s3cret", stamp, body)
