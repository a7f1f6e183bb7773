"""The worker process and alerts: from transitions in Kafka to what people and receivers see."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.alerting import SOON, Incident, apply, publish
from tests.ingestion import Bench
from tests.kafka_log import records_of
from tests.processes import free_port, headrace
from tests.receivers import hook
from workflows.notify.webhook import signature

pytestmark = pytest.mark.timeout(120)

ALERTMANAGER = os.environ.get("HEADRACE_TEST_ALERTMANAGER") or shutil.which(
    "prometheus-alertmanager"
)
"""The binary of a real one, where there is one: Debian's package of this name, or any that is named."""


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


async def test_silences_and_inhibitions_hold_news_back(
    bench: Bench, temporal: str, tmp_path: Path
) -> None:
    """Told when the silence is taken back, and when what inhibited is better; ends are told all the same."""
    quiet, minor, major = (
        Incident(bench.tenant, labels={"host": host, "dc": "1"}) for host in ("q", "minor", "major")
    )
    topic = bench.topics.transitions
    silence = await bench.pool.fetchval(
        "INSERT INTO silences (tenant_id, matchers, starts_at, expires_at, author, comment) "
        "VALUES ($1, '{host=q}', now(), now() + interval '1 hour', 'eve', '') RETURNING silence_id",
        bench.tenant,
    )
    async with hook() as told:
        await apply(
            bench.dsn,
            bench.tenant,
            receivers=[{"name": "hook", "webhook": {"url": told.url}}],
            route={"receiver": "hook", **SOON, "group_by": ["host"]},
            inhibitions=[
                {"source": ["severity=critical"], "target": ["severity=warning"], "equal": ["dc"]}
            ],
        )
        with headrace("worker", env=worker_env(bench, temporal), log=tmp_path / "log") as worker:
            await worker.ready()
            firing = [major.goes("firing", "critical"), minor.goes("firing"), quiet.goes("firing")]
            await publish(bench.kafka, topic, firing)
            await told.until(lambda it: len(it.alerts) == 1)
            # The level goes back to warning: nothing inhibits the other any more.
            await publish(bench.kafka, topic, [major.goes("firing", "warning")])
            await told.until(lambda it: len(it.alerts) == 3)
            assert "q" not in {host for _, host, _ in told.alerts}
            await bench.pool.execute(
                "UPDATE silences SET expires_at = now() WHERE silence_id = $1", silence
            )
            await told.until(lambda it: len(it.alerts) == 4)
            await bench.pool.execute("UPDATE silences SET expires_at = now() + interval '1 hour'")
            ends = [one.goes("resolved") for one in (quiet, minor, major)]
            await publish(bench.kafka, topic, ends)
            await reached(bench, "SELECT count(*) FROM notifications", 0)
    assert told.alerts[0] == ("items-slow", "major", "firing")
    assert sorted(told.alerts[1:3]) == [
        ("items-slow", "major", "firing"), ("items-slow", "minor", "firing"),
    ]  # fmt: skip
    assert told.alerts[3] == ("items-slow", "q", "firing")
    assert sorted(told.alerts[4:]) == [
        ("items-slow", host, "resolved") for host in ("major", "minor", "q")
    ]


@pytest.mark.skipif(ALERTMANAGER is None, reason="no Alertmanager is installed")
async def test_an_alertmanager_has_the_alerts(bench: Bench, temporal: str, tmp_path: Path) -> None:
    """A real one: firing alerts are there, with their level; resolved ones are gone."""
    incident = Incident(bench.tenant, labels={"host": "a", "http.route": "/items"})
    topic = bench.topics.transitions
    port = free_port()
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    process = await asyncio.create_subprocess_exec(
        ALERTMANAGER or "",
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        root = f"http://127.0.0.1:{port}"
        await apply(
            bench.dsn,
            bench.tenant,
            receivers=[{"name": "am", "alertmanager": {"url": root}}],
            route={"receiver": "am", **SOON},
        )
        with headrace("worker", env=worker_env(bench, temporal), log=tmp_path / "log") as worker:
            await worker.ready()
            await publish(bench.kafka, topic, [incident.goes("firing")])
            await shown(root, [("a", "warning", "/items")])
            await publish(bench.kafka, topic, [incident.goes("firing", "critical")])
            await shown(root, [("a", "critical", "/items")])
            await publish(bench.kafka, topic, [incident.goes("resolved", "critical")])
            await shown(root, [])
        assert process.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def shown(root: str, expected: list[tuple[str, str, str]]) -> None:
    """Wait until an Alertmanager shows these alerts, by host, severity and route, and no others."""
    found: object = None
    async with aiohttp.ClientSession() as http:
        for _ in range(600):
            try:
                async with http.get(f"{root}/api/v2/alerts") as answer:
                    labels = [one["labels"] for one in await answer.json()]
            except aiohttp.ClientError:
                labels = [{}]
            found = [
                (one.get("host"), one.get("severity"), one.get("http_route")) for one in labels
            ]
            if found == expected:
                return
            await asyncio.sleep(0.1)
    raise AssertionError(f"{found}, not {expected}")
